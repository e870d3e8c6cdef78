"""What the pages say and do, without a browser, on both databases."""

import random
import string
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from services.console.pages.mails import SHOWN_BYTES, as_text
from services.console.queues import depths
from services.console.roles import Role
from services.fetcher.lists import ContactList
from services.ledger.dead_letters_sql import Choice
from services.ledger.ports import DeadLetter
from shared.tables.ledger import audit, raw
from shared.topology import CLASSIFIER_RAW, QUEUES
from tests.browser.content import LETTER, NOW, client_of
from tests.integration.console.conftest import Filled


def post(client: FlaskClient, address: str, **fields: object) -> str:
    """What the page says that the form leads to."""
    token = client.get("/dead-letters/").text.split('name="csrf_token" value="')[1].split('"')[0]
    answer = client.post(address, data={"csrf_token": token, **fields}, follow_redirects=True)
    assert answer.status_code in (200, 422), answer.status
    return answer.text


def pages_of(client: FlaskClient, address: str) -> Iterator[str]:
    """A page, and those that its link to the older ones leads to."""
    while address:
        shown = client.get(address).text
        yield shown
        older = shown.split(">Older<")[0].rsplit('href="', 1)[1].split('"')[0] if ">Older<" in shown else ""
        address = older.replace("&amp;", "&")


def letters(count: int, queue: str = CLASSIFIER_RAW.name, reason: str = "no rule") -> Iterable[DeadLetter]:
    for number in range(count):
        at = NOW - timedelta(seconds=number % 7)  # several of one moment: pages part them by their ids
        yield DeadLetter(f"{number:064x}", queue, reason, at, None, None, "text/plain", "", None, "{}", None, b"x")


def test_what_is_wrong_with_a_long_address_fits_a_cookie(filled: Filled) -> None:
    client = client_of(filled.app, Role.VIEWER)
    long = "".join(random.Random(3).choices(string.ascii_letters, k=6_000))
    answer = client.get("/addresses/of", query_string={"address": long})
    assert len(answer.headers["Set-Cookie"]) < 4_000
    assert "is no e-mail address" in client.get(answer.headers["Location"]).text


class TestDeadLetters:
    def test_one_is_discarded_with_a_reason_and_stays_to_be_looked_at(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.OPERATOR)
        assert "say why" in post(client, "/dead-letters/discard", letter=LETTER, why="  ")
        assert filled.backing.dead_letters.count(Choice()) == 1
        assert "1 discarded" in post(client, "/dead-letters/discard", letter=LETTER, why="a test of ours")
        assert filled.backing.dead_letters.count(Choice()) == 0
        assert LETTER in client.get("/dead-letters/?state=discarded").text
        shown = client.get(f"/dead-letters/{LETTER}").text
        assert "discarded" in shown
        assert 'action="/dead-letters/replay"' not in shown
        with filled.backing.engine.connect() as connection:
            (row,) = connection.execute(select(audit).where(audit.c.subject == LETTER)).all()
        assert (row.who, row.why) == ("operator", "a test of ours")
        assert "0 discarded" in post(client, "/dead-letters/discard", letter=LETTER, why="again")

    def test_pages_show_each_letter_once(self, filled: Filled) -> None:
        filled.backing.dead_letters.file(list(letters(250)))
        client = client_of(filled.app, Role.VIEWER)
        seen: list[str] = []
        for shown in pages_of(client, "/dead-letters/?reason=no+rule"):
            seen += [part.split('"')[0] for part in shown.split('href="/dead-letters/')[1:] if part[0] == "0"]
        assert sorted(seen) == [f"{number:064x}" for number in range(250)]

    def test_what_a_broker_took_is_replayed_and_what_is_of_no_queue_stays(self, filled: Filled) -> None:
        filled.backing.dead_letters.file(list(letters(3)))
        filled.backing.dead_letters.discard([LETTER], "tests", "not of this test")
        client = client_of(filled.app, Role.OPERATOR)
        assert "1 replayed" in post(client, "/dead-letters/replay", letter=f"{0:064x}")
        assert filled.backing.dead_letters.count(Choice()) == 2
        foreign = next(iter(letters(1, "somebody.elses", "foreign")))
        filled.backing.dead_letters.file([replace(foreign, letter_id="f" * 64)])
        said = post(client, "/dead-letters/replay", all="1")
        assert depths(filled.amqp_url) == {queue.name: 3 * (queue == CLASSIFIER_RAW) for queue in QUEUES}
        assert "2 replayed" in said
        assert "1 of this choice are dead" in said
        assert "1 came from a queue that is not ours" in post(client, "/dead-letters/replay", letter="f" * 64)
        assert "None of these can go back" in post(client, "/dead-letters/replay", all="1")

    def test_a_mail_that_the_ledger_does_not_have_is_no_link(self, filled: Filled) -> None:
        one = replace(next(iter(letters(1))), raw_id="c" * 64)
        filled.backing.dead_letters.file([one])
        client = client_of(filled.app, Role.VIEWER)
        shown = client.get(f"/dead-letters/{one.letter_id}").text
        assert "not recorded by the ledger" in shown
        filled.backing.dead_letters.file([replace(one, letter_id="d" * 64, raw_id=filled.mail)])
        assert f'href="/mails/{filled.mail}"' in client.get(f"/dead-letters/{'d' * 64}").text


class TestMails:
    def test_what_is_recorded_and_the_bytes_as_an_attachment(self, filled: Filled) -> None:
        assert "something that no rule knows" in client_of(filled.app, Role.VIEWER).get(f"/mails/{filled.mail}").text
        answer = client_of(filled.app, Role.OPERATOR).get(f"/mails/{filled.mail}/raw")
        assert answer.data == filled.backing.archive.read(filled.mail)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.mimetype == "message/rfc822"

    @pytest.mark.parametrize("cut", range(4))
    def test_a_character_that_is_cut_does_not_spoil_the_rest(self, cut: int) -> None:
        body = ("x" * cut + "ü€" * SHOWN_BYTES).encode()[:SHOWN_BYTES]
        assert as_text(body)[cut : cut + 2] == "ü€"

    def test_control_characters_are_written_out(self) -> None:
        assert as_text(b"a\x00\x1b[31m\r\nb\xe2\x80\xaec\td") == "a\\x00\\x1b[31m\nb\\u202ec\td"


class TestUnidentified:
    def test_newest_first_and_each_once(self, filled: Filled) -> None:
        with filled.backing.engine.begin() as connection:
            like = dict(connection.execute(select(raw).where(raw.c.raw_id == filled.mail)).mappings().one())
            rows = [
                like | {"raw_id": f"{number:064x}", "received_at": NOW - timedelta(seconds=number % 5)}
                for number in range(120)
            ]
            connection.execute(raw.insert(), rows)
        client = client_of(filled.app, Role.VIEWER)
        seen: list[str] = []
        for shown in pages_of(client, "/unidentified/"):
            seen += [part.split('"')[0] for part in shown.split('href="/mails/')[1:]]
        assert len(seen) == len(set(seen)) == 121
        times = {row["raw_id"]: row["received_at"] for row in rows} | {filled.mail: like["received_at"]}
        assert [times[one] for one in seen] == sorted(times.values(), reverse=True)


class TestPolicy:
    def test_a_change_says_how_far_it_is_and_who_made_it(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        said = post(client, "/policy/", soft_limit="1", why="our provider asked for it")
        assert "Version 2 is in force" in said
        assert "begins about a minute" in said
        assert "our provider asked for it" in said
        pages = filled.backing.policy.recompute()
        next(pages)
        versions = filled.backing.policy.versions()
        assert (
            f"{versions[0].in_force.judged} of {versions[0].in_force.to_judge} addresses stand"
            in client.get("/policy/").text
        )
        assert versions[0].in_force.judged >= 2
        assert [(one.who, one.why) for one in versions] == [("administrator", "our provider asked for it"), ("", "")]
        list(pages)
        assert "addresses stand by" not in client.get("/policy/").text

    def test_the_same_again_is_no_version(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        assert "nothing is changed" in post(client, "/policy/", soft_limit="5", why="as it is")
        assert len(filled.backing.policy.versions()) == 1

    def test_what_was_typed_stays_when_something_is_wrong(self, filled: Filled) -> None:
        said = post(client_of(filled.app, Role.ADMINISTRATOR), "/policy/", soft_limit="0", why="typed & kept")
        assert "typed &amp; kept" in said
        assert len(filled.backing.policy.versions()) == 1


class TestUsers:
    def test_somebody_who_is_shut_out_is_out_at_once(self, filled: Filled) -> None:
        administrator, viewer = client_of(filled.app, Role.ADMINISTRATOR), client_of(filled.app, Role.VIEWER)
        assert viewer.get("/").status_code == 200
        assert "viewer is shut out" in post(administrator, "/users/viewer/access", is_active="0")
        assert viewer.get("/").headers["Location"].startswith("/login")
        assert "may log in again" in post(administrator, "/users/viewer/access", is_active="1")
        assert client_of(filled.app, Role.VIEWER).get("/").status_code == 200

    def test_a_role_a_password_and_somebody_new(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        assert "viewer is operator now" in post(client, "/users/viewer/role", role="operator")
        assert "characters" in post(client, "/users/viewer/password", password="short")
        assert "is changed" in post(client, "/users/viewer/password", password="another long password")
        assert filled.backing.people.log_in("viewer", "another long password", "203.0.113.9") is not None
        said = post(client, "/users/", name="jane", role="viewer", password="a secret that is short"[:8])
        assert 'value="jane"' in said
        assert "a secret" not in said
        assert "jane may log in" in post(
            client, "/users/", name="jane", role="viewer", password="a long password of hers"
        )
        assert "last administrator" in post(client, "/users/administrator/role", role="viewer")
        audited = client.get("/audit/").text
        assert "user-password" in audited
        assert "a long password of hers" not in audited


class TestAudit:
    def test_newest_first_each_once_and_by_subject(self, filled: Filled) -> None:
        with filled.backing.engine.begin() as connection:
            rows = [
                {"made_at": NOW, "who": "tests", "what": "a change", "subject": f"s{number % 2}", "why": f"({number})"}
                for number in range(230)
            ]
            connection.execute(audit.insert(), rows)
        client = client_of(filled.app, Role.ADMINISTRATOR)
        seen: list[int] = []
        for shown in pages_of(client, "/audit/?subject=s1"):
            seen += [int(part.split(")")[0]) for part in shown.split('<td class="said">(')[1:]]
        assert seen == list(range(229, 0, -2))


class TestLists:
    def test_many_come_in_pages_and_are_found_by_words(self, filled: Filled) -> None:
        for number in range(120):
            filled.backing.lists.add(
                ContactList(f"shop-{number:03}", f"bounce{number}@example.com", "50% off"), None, None, "tests"
            )
        client = client_of(filled.app, Role.ADMINISTRATOR)
        for address in ("/lists/", "/process/"):
            first = client.get(address).text
            assert ("shop-049" in first, "shop-050" in first) == (True, False)
            second = client.get(address, query_string={"after0": "shop-049"}).text
            assert ("shop-099" in second, "shop-049</" in second, "shop-100" in second) == (True, False, False)
            found = client.get(address, query_string={"words": "BOUNCE77@"}).text
            assert ("shop-077" in found, "shop-078" in found) == (True, False)
            assert "shop-119" in client.get(address, query_string={"words": "0% o", "after0": "shop-099"}).text
            assert "No such list" in client.get(address, query_string={"words": "nowhere_"}).text

    def test_one_that_is_not_there(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        for address in ("/lists/nothing/edit", "/process/list/nothing", "/process/list/nothing/find"):
            answer = client.get(address)
            assert (answer.status_code, "There is no such page" in answer.text) == (404, True)

    def test_what_was_typed_stays_when_an_address_is_none(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        typed = {"list_id": "shop", "title": "The shop", "bounce_email": "bounce", "server": "pop.example.com"}
        for path in ("/lists/new", "/lists/test"):
            shown = post(client, path, **typed)
            assert ("is no e-mail address" in shown, "pop.example.com" in shown) == (True, True)
