"""Lists and accounts in the database: shared, changed under a running fetcher, sealed, and sealed anew."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from services.fetcher.accounts import Account, Accounts
from services.fetcher.accounts_sql import BothBooks, SqlAccounts
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import AccountUnusable, UnknownAccount
from services.fetcher.handler import FetchHandler
from services.fetcher.lists import BounceAccount, ContactList
from services.fetcher.lists_sql import SqlLists, Stored, UnknownList
from services.fetcher.login import PasswordLogin
from services.fetcher.rotation_sql import rotate
from services.fetcher.store_sql import SqlCheckpoint
from shared.bus import BatchLimits
from shared.contract import FetchRequest
from shared.errors import ConfigurationError
from shared.secrets import SecretBox, new_key, open_secret_box
from shared.tables import connect, upgrade
from shared.tables.fetcher import bounce_account, run
from shared.tables.ledger import audit
from shared.topology import FETCHER_REQUESTS
from shared.wire import fetch_request_message
from tests.integration.fetcher.conftest import POP3, account_of
from tests.integration.fetcher.ledger import Clock, Ledger
from tests.servers.dovecot import Mailbox

KEY = new_key()
NEWS = BounceAccount("news", Protocol.POP3, "pop.example.com", 995, Tls.IMPLICIT, "bounce@example.com")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Empty, with the tables."""
    is_postgresql = request.param == "postgresql"
    engine = connect(request.getfixturevalue("database_url") if is_postgresql else f"sqlite:///{tmp_path}/lists.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def lists(database: Engine) -> SqlLists:
    return SqlLists(database)


def box(*keys: str) -> SecretBox:
    return open_secret_box({"MAILROOM_SECRET_KEY": ",".join(keys or [KEY])})


def add(lists: SqlLists, name: str = "news", password: str = "canary", account: BounceAccount = NEWS) -> BounceAccount:
    """A list with an account of its own of the same name."""
    account = replace(account, name=name, user=account.user if name == "news" else f"{name}@example.com")
    one = ContactList(name, "bounce@example.com", account=name)
    lists.add(one, account, box().seal(password, account.secret_purpose), "tests")
    return account


def seen(lists: SqlLists, name: str = "news") -> Stored:
    found = lists.find_account(name)
    assert found is not None
    return found


def password_of(account: Account) -> str:
    assert isinstance(account.login, PasswordLogin)
    return account.login.password


def test_an_account_is_found_as_it_was_stored(lists: SqlLists) -> None:
    stored = replace(NEWS, protocol=Protocol.IMAP, port=143, tls=Tls.STARTTLS, folder="Bounces", empty="move:Done")
    add(lists, account=stored)
    account = SqlAccounts(lists, box).find("news")
    assert account.endpoint == Endpoint(Protocol.IMAP, "pop.example.com", 143, Tls.STARTTLS)
    assert (account.login.user, password_of(account), account.folder) == ("bounce@example.com", "canary", "Bounces")
    assert (account.emptying.empty, account.emptying.folder, account.list_id) == ("move", "Done", "news")
    found = lists.find_account("news")
    assert found is not None
    assert found.account == stored


def test_a_change_is_seen_by_the_next_request(lists: SqlLists) -> None:
    book = SqlAccounts(lists, box)
    account = add(lists)
    assert book.find("news").endpoint.port == 995
    moved = replace(account, port=2995)
    lists.change_account(seen(lists), moved, box().seal("other", moved.secret_purpose), "tests")
    assert (book.find("news").endpoint.port, password_of(book.find("news"))) == (2995, "other")


def test_a_bounce_is_of_a_list_only_where_no_other_shares_the_account(lists: SqlLists) -> None:
    book = SqlAccounts(lists, box)
    add(lists)
    assert book.find("news").list_id == "news"
    lists.add(ContactList("shop", "bounce@example.com", account="news"), None, None, "tests")
    assert book.find("news").list_id is None
    assert lists.account_of("shop") == "news"
    assert lists.remove("news", "tests") is None
    assert book.find("news").list_id == "shop"
    assert lists.remove("shop", "tests") == "news"
    with pytest.raises(UnknownAccount, match="mailroom lists add"):
        book.find("news")


def test_the_same_mailbox_twice_is_refused(lists: SqlLists) -> None:
    account = add(lists)
    with pytest.raises(ConfigurationError, match="reads that mailbox already"):
        lists.add(
            ContactList("shop", "b@example.com", account="shop"), replace(account, name="shop"), "sealed", "tests"
        )
    assert [one.list_id for one in lists.lists()] == ["news"]
    with pytest.raises(ConfigurationError, match="is there already"):
        lists.add(ContactList("news", "b@example.com"), None, None, "tests")


def test_the_same_mailbox_by_another_protocol_is_refused_to_the_second_of_two(lists: SqlLists) -> None:
    """Each had looked before the other wrote."""
    account = add(lists)
    other = replace(account, name="shop", protocol=Protocol.IMAP, port=993, folder="INBOX")
    with pytest.raises(ConfigurationError, match="'news' reads that mailbox already"):
        lists.add(ContactList("shop", "b@example.com", account="shop"), other, "sealed", "tests")


@pytest.mark.parametrize("what", ["settings", "secret", "login"])
def test_what_somebody_else_wrote_meanwhile_is_not_written_over(lists: SqlLists, database: Engine, what: str) -> None:
    account = add(lists)
    before = seen(lists)
    if what == "settings":
        lists.change_account(before, replace(account, empty="all"), before.secret, "tests")
    elif what == "secret":
        assert rotate(database, box(new_key(), KEY)).anew == 1
    else:
        change_row(database, "news", updated_at=datetime.now(UTC), secret=None, login="oauth2")
    now = seen(lists)
    with pytest.raises(ConfigurationError, match="somebody changed the account 'news' meanwhile"):
        lists.change_account(before, replace(account, empty="nothing"), before.secret, "tests")
    assert seen(lists) == now
    lists.remove("news", "tests")
    with pytest.raises(ConfigurationError, match="removed meanwhile"):
        lists.change_account(before, account, before.secret, "tests")


def test_a_lists_title_is_changed_and_not_its_account(lists: SqlLists) -> None:
    add(lists)
    one = lists.find_list("news")
    lists.change_account(seen(lists), replace(NEWS, name="news-2", host="other.example.com"), None, "tests")
    lists.change_list(replace(one, title="News"), "tests")
    assert (lists.find_list("news").title, lists.find_list("news").account) == ("News", "news-2")


def test_another_mailbox_is_another_account_for_all_its_lists(lists: SqlLists) -> None:
    account = add(lists)
    lists.add(ContactList("shop", "bounce@example.com", account="news"), None, None, "tests")
    new = replace(account, name="news-2", host="other.example.com")
    lists.change_account(seen(lists), new, box().seal("canary", new.secret_purpose), "tests")
    assert {one.account for one in lists.lists()} == {"news-2"}
    assert [stored.account for stored in lists.accounts()] == [new]


def test_a_name_under_which_something_was_found_is_taken_for_good(lists: SqlLists, database: Engine) -> None:
    add(lists)
    SqlCheckpoint(database).begin_run("run-1", "news", datetime.now(UTC))
    assert not lists.is_taken("shop")
    lists.remove("news", "tests")
    assert lists.is_taken("news")


def test_a_list_that_is_not_there(lists: SqlLists) -> None:
    with pytest.raises(UnknownList, match="there is none yet"):
        lists.find_list("news")
    add(lists)
    with pytest.raises(UnknownList, match="`mailroom lists` shows them"):
        lists.remove("other", "tests")
    assert lists.account_of("other") == "other"  # an account of a file may have that name


def change_row(engine: Engine, name: str, **values: str | None) -> None:
    """By hand, as somebody with nothing but the database could."""
    with engine.begin() as connection:
        connection.execute(update(bounce_account).where(bounce_account.c.name == name).values(**values))


@pytest.mark.parametrize(
    "change",
    [
        ("host", "evil.example"),
        ("port", 110),
        ("tls", "none"),
        ("protocol", "imap"),
        ("user_name", "x"),
        ("protocol", "smtp"),
        ("tls", "maybe"),
        ("empty", "some"),
        ("ca_pem", "broken"),
        ("secret", "broken"),
        ("login", "magic"),
    ],
)
def test_a_row_that_was_tampered_with_cannot_be_used(
    lists: SqlLists, database: Engine, change: tuple[str, object]
) -> None:
    add(lists)
    change_row(database, "news", **dict([change]))
    with pytest.raises(AccountUnusable, match="'news' cannot be used") as refused:
        SqlAccounts(lists, box).find("news")
    assert "canary" not in str(refused.value)


def test_a_secret_of_another_row_does_not_open(lists: SqlLists, database: Engine) -> None:
    add(lists)
    add(lists, "shop")
    with database.begin() as connection:
        secret = connection.execute(select(bounce_account.c.secret).where(bounce_account.c.name == "news")).scalar_one()
    change_row(database, "shop", secret=secret)
    with pytest.raises(AccountUnusable, match="sealed for something else"):
        SqlAccounts(lists, box).find("shop")


def test_a_missing_key_is_an_accounts_own_trouble(lists: SqlLists) -> None:
    add(lists)
    with pytest.raises(AccountUnusable, match="MAILROOM_SECRET_KEY is not set"):
        SqlAccounts(lists, lambda: open_secret_box({})).find("news")
    with pytest.raises(AccountUnusable, match="sealed by a key that is not in"):
        SqlAccounts(lists, lambda: box(new_key())).find("news")


def test_a_name_in_the_file_wins(lists: SqlLists) -> None:
    add(lists)
    add(lists, "shop")
    file = Account("news", Endpoint(Protocol.POP3, "file.example", 995), PasswordLogin("u", "p"), "")
    both = BothBooks(Accounts({"news": file}), SqlAccounts(lists, box))
    assert both.find("news") is file
    assert both.find("shop").endpoint.host == "pop.example.com"


def request_of(account: str, run_id: str) -> FetchRequest:
    return {"schema_version": 1, "account": account, "run_id": run_id, "requested_at": datetime.now(UTC)}


def test_an_account_that_cannot_be_used_stops_no_other(ledger: Ledger, mailbox: Mailbox) -> None:
    mailbox.deliver(b"Subject: x\r\n\r\ny\r\n")
    lists = SqlLists(ledger.engine)
    add(lists, "broken")
    endpoint = account_of(mailbox, POP3).endpoint
    account = replace(NEWS, host=endpoint.host, port=endpoint.port, user=mailbox.user)
    account = replace(account, ca_pem=mailbox.ca_file.read_text(), empty="nothing")
    add(lists, password=mailbox.password, account=account)
    change_row(ledger.engine, "broken", secret="broken")
    clock = Clock()
    handler = FetchHandler(
        SqlAccounts(lists, box), SqlCheckpoint(ledger.engine), ledger.bus, holder="f", wait=clock.wait, clock=clock
    )
    ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
    ledger.bus.publish([fetch_request_message(request_of(name, f"run-{name}")) for name in ("broken", "news")])
    with ledger.engine.connect() as connection:
        runs = {row.run_id: row for row in connection.execute(select(run))}
    assert "'broken' cannot be used" in runs["run-broken"].last_error
    assert (runs["run-news"].last_error, runs["run-news"].finished_at is not None) == (None, True)
    assert len(ledger.raws) == 1


def test_rotation_in_batches(lists: SqlLists, database: Engine) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        add(lists, name, password=f"canary {name}")
    add(lists, "open")
    change_row(database, "open", secret=None)
    new = new_key()
    first = rotate(database, box(new, KEY), batch=2)
    assert (first.anew, first.kept, first.failures) == (5, 0, [])
    again = rotate(database, box(new, KEY), batch=2)
    assert (again.anew, again.kept, again.failures) == (0, 5, [])
    book = SqlAccounts(lists, lambda: box(new))  # the old key is gone
    assert [password_of(book.find(name)) for name in names] == [f"canary {name}" for name in names]


def test_a_rotation_leaves_what_it_cannot_open_and_says_so(lists: SqlLists, database: Engine) -> None:
    for name in ("a", "b", "c"):
        add(lists, name)
    change_row(database, "b", secret=box(new_key()).seal("x", "y"))
    done = rotate(database, box(new_key(), KEY), batch=1)
    assert (done.anew, len(done.failures)) == (2, 1)
    assert "'b'" in done.failures[0]


def test_who_changed_what_stands_in_the_audit_without_a_secret(lists: SqlLists, database: Engine) -> None:
    account = add(lists, password="canary-1")
    moved = replace(
        account, host="imap.example.com", port=143, tls=Tls.STARTTLS, protocol=Protocol.IMAP, folder="INBOX"
    )
    lists.change_account(seen(lists), moved, box().seal("canary-2", moved.secret_purpose), "jane")
    lists.change_list(ContactList("news", "other@example.com", "News"), "jane")
    lists.change_list(ContactList("news", "other@example.com", "News"), "nobody")
    lists.remove("news", "jane")
    with database.begin() as connection:
        told = connection.execute(select(audit.c.who, audit.c.what, audit.c.subject, audit.c.why).order_by(audit.c.id))
        rows = [tuple(row) for row in told]
    assert [(who, what) for who, what, _, _ in rows] == [
        ("tests", "list-add"),
        ("jane", "account-change"),
        ("jane", "list-change"),
        ("jane", "list-remove"),
    ]
    assert {subject for _, _, subject, _ in rows} == {"news"}
    assert rows[1][3] == "server imap.example.com:143, type imap, tls starttls, another password"
    assert "canary" not in str(rows)
