"""The contacts of a list: imported, shown with who bounced, exported, removed; on both databases."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import func, select

from services.cli import main
from services.console import contacts_sql
from services.console.contacts_sql import SqlContacts
from services.console.roles import Role
from services.fetcher.lists import ContactList
from services.fetcher.lists_sql import UnknownList
from shared.tables.contacts import contact
from tests.browser.content import CONTACTS, client_of
from tests.integration.console.conftest import Filled

ROWS = "Name;E-Mail\nJane;GONE@example.net\nJoe;joe@example.org\nNobody;no address\nJoe again;joe@EXAMPLE.org\n"


@pytest.fixture(autouse=True)
def contacts(filled: Filled) -> SqlContacts:
    """Of a list that has none yet."""
    filled.backing.lists.add(ContactList("shop", "bounce@example.com"), None, None, "tests")
    return filled.backing.contacts


def add(contacts: SqlContacts, addresses: list[str]) -> tuple[int, int]:
    done = list(contacts.add("shop", addresses, "tests"))[-1]
    return done.added, done.already


def send(client: FlaskClient, text: str, **fields: str) -> Any:
    token = client.get("/lists/shop/contacts/").text.split('name="csrf_token" value="')[1].split('"')[0]
    body = {"csrf_token": token, "file": (io.BytesIO(text.encode()), "contacts.csv"), **fields}
    return client.post("/lists/shop/contacts/", data=body, follow_redirects=True)


def walk(client: FlaskClient, address: str) -> Iterator[str]:
    while address:
        shown = client.get(address).text
        yield shown
        following = shown.split(">Next<")[0].rsplit('href="', 1)[1].split('"')[0] if ">Next<" in shown else ""
        address = following.replace("&amp;", "&")


def test_each_is_on_a_list_once_and_counted(contacts: SqlContacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_sql, "BATCH", 7)
    assert add(contacts, [f"user{number}@example.com" for number in range(20)]) == (20, 0)
    assert add(contacts, [f"user{number}@example.com" for number in range(10, 30)]) == (10, 10)
    assert contacts.count("shop") == 30
    pages = [[one.recipient for one in page] for page in contacts.all("shop")]
    assert len(pages) == 5
    assert [one for page in pages for one in page] == sorted(f"user{number}@example.com" for number in range(30))
    with pytest.raises(UnknownList):
        list(contacts.add("nothing", ["a@example.com"], "tests"))


def test_those_that_bounced_are_found_a_stretch_at_a_time(
    contacts: SqlContacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts_sql, "LOOKED_THROUGH", 10)
    add(contacts, [*(f"user{number:02}@example.com" for number in range(25)), "gone@example.net", "full@example.net"])
    found, after = [], ""
    looks = 0
    while after is not None:
        page = contacts.bounced("shop", after, 5)
        found += page.contacts
        after = page.after  # type: ignore[assignment]
        looks += 1
    assert [(one.recipient, one.state, one.reason) for one in found] == [
        ("gone@example.net", "bounced", "user-unknown")
    ]
    assert looks == 3, "ten contacts each"


def test_imported_shown_and_exported(filled: Filled) -> None:
    client = client_of(filled.app, Role.ADMINISTRATOR)
    assert "No contact yet" in client.get("/lists/shop/contacts/").text
    shown = send(client, ROWS).text
    assert "2 added, 0 on the list already, 1 rows without an address" in shown
    assert "line 4: " in shown
    assert "2 contacts" in shown
    assert ("gone@example.net" in shown, "joe@example.org" in shown) == (True, True)
    bounced = client.get("/lists/shop/contacts/?only=bounced").text
    assert ("gone@example.net" in bounced, "user-unknown" in bounced, "joe@example.org" in bounced) == (
        True,
        True,
        False,
    )
    exported = client.get("/lists/shop/contacts/export.csv")
    assert exported.headers["Content-Disposition"] == 'attachment; filename="shop.csv"'
    head, *rows = exported.text.splitlines()
    assert head == "address,may be mailed,state,reason,since"
    assert rows[0].startswith("gone@example.net,no,bounced,user-unknown,20")
    assert rows[1:] == ["joe@example.org,yes,ok,,"]
    assert client.get("/lists/shop/contacts/export.csv?only=bounced").text.splitlines()[1:] == rows[:1]


def test_many_come_in_pages(filled: Filled, contacts: SqlContacts) -> None:
    add(contacts, [f"user{number:03}@example.com" for number in range(250)])
    pages = list(walk(client_of(filled.app, Role.VIEWER), "/lists/shop/contacts/"))
    assert [page.count("@example.com</a>") for page in pages] == [100, 100, 50]


@pytest.mark.parametrize(
    ("text", "fields", "says"),
    [
        ("", {}, "is empty"),
        ("name\nJane Doe\n", {"column": "email"}, "no column is named"),
        ("a;b\n1;2\n", {}, "no column is named email"),
        ("\x00e\x00m\n", {}, "UTF-16"),
        ("\x89PNG\r\n\x1a\nIHDR\n", {}, "no column is named email"),
    ],
)
def test_what_is_no_list_of_contacts(filled: Filled, text: str, fields: dict[str, str], says: str) -> None:
    answer = send(client_of(filled.app, Role.ADMINISTRATOR), text, **fields)
    assert (answer.status_code, says in answer.text) == (422, True)


def test_a_row_that_is_no_csv_is_told_and_the_next_are_read(filled: Filled, contacts: SqlContacts) -> None:
    text = 'email,name\nann@example.org,"Open\nbob@example.org,B\ncyd@example.org,"C"\ndan@example.org,D\n'
    shown = send(client_of(filled.app, Role.ADMINISTRATOR), text).text
    assert ("1 added" in shown, "line 2: this is not CSV, and was not read up to line 4" in shown) == (True, True)
    assert [one.recipient for one in contacts.page("shop", "", 10)] == ["dan@example.org"]


def test_a_formula_stays_text(filled: Filled, contacts: SqlContacts) -> None:
    add(contacts, ["=1+1@example.com"])
    exported = client_of(filled.app, Role.VIEWER).get("/lists/shop/contacts/export.csv").text
    assert "\n'=1+1@example.com," in exported
    send(client_of(filled.app, Role.ADMINISTRATOR), exported)
    assert contacts.count("shop") == 1, "read back as it was"


def test_a_list_is_removed_with_its_contacts(filled: Filled, contacts: SqlContacts) -> None:
    filled.backing.lists.add(ContactList("other", "bounce@example.com"), None, None, "tests")
    list(contacts.add("other", ["jane@example.com"], "tests"))
    add(contacts, [f"user{number}@example.com" for number in range(10)])
    filled.backing.lists.remove("shop", "tests")
    with filled.backing.engine.connect() as connection:
        left = connection.execute(select(contact.c.list_id, func.count()).group_by(contact.c.list_id)).all()
    assert sorted(map(tuple, left)) == [("other", 1), ("weekly", len(CONTACTS))]


def test_from_the_command_line(filled: Filled, contacts: SqlContacts, tmp_path: Any) -> None:
    url = filled.backing.engine.url.render_as_string(hide_password=False)
    (tmp_path / "contacts.csv").write_text(ROWS)
    run = CliRunner().invoke
    imported = run(main, ["lists", "import", "shop", str(tmp_path / "contacts.csv"), "--database", url])
    assert imported.exit_code == 2
    assert "mailroom: line 4: 'no address'" in imported.stderr
    assert "2 added" in imported.stderr
    exported = run(main, ["lists", "export", "shop", "--bounced", "--database", url])
    assert [line.split(",")[0] for line in exported.stdout.splitlines()] == ["address", "gone@example.net"]
    assert "no list 'nothing'" in run(main, ["lists", "export", "nothing", "--database", url]).stderr
