"""The HTTP API, on both databases and in front of a real broker."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pika
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, text, update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from services.console.api.door import PREFIX
from services.console.application import create_application
from services.console.pace import Pace
from services.console.replies_sql import GIVEN_UP
from services.console.roles import Role
from services.console.tokens import Scope
from services.fetcher.lists import ContactList
from shared.amqp import close_connection, open_connection
from shared.bus import Message, Publisher
from shared.errors import ConfigurationError
from shared.identity import raw_id
from shared.publisher import ConfirmingPublisher
from shared.tables.console import api_reply, api_token
from shared.tables.ledger import audit
from shared.topology import CLASSIFIER_RAW
from shared.wire import read_raw_bounce
from tests.browser.content import LETTER, RUN, arguments, client_of
from tests.e2e.mails import UNKNOWN, Send, bounce_of
from tests.integration.console.conftest import Filled
from tests.servers.console import NOBODY, SECRET_KEY

MAIL = bounce_of(Send("gone@example.org", 9, *UNKNOWN))
Ask = Callable[..., TestResponse]


@pytest.fixture
def token(filled: Filled) -> str:
    return filled.backing.tokens.make("shop", list(Scope), "administrator")


@pytest.fixture
def ask(filled: Filled, token: str) -> Ask:
    """A request of the program `shop`, which may do everything."""
    return asking(filled.app.test_client(), token)


def asking(client: FlaskClient, token: str) -> Ask:
    def send(method: str, path: str, body: Any = None, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        return client.open(PREFIX + path, method=method, json=body, headers=headers, **more)

    return send


def routes(filled: Filled) -> Iterator[tuple[str, Rule]]:
    for rule in filled.app.url_map.iter_rules():
        if rule.rule.startswith(PREFIX):
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"} if rule.methods else ()):
                yield method, rule


def path_of(filled: Filled, rule: Rule) -> str:
    with filled.app.test_request_context():
        url: str = filled.app.url_for(rule.endpoint, **arguments(rule, filled.mail))
    return url.removeprefix(PREFIX)


class TestDoor:
    def test_each_route_wants_its_own_scope(self, filled: Filled) -> None:
        tokens = {one: filled.backing.tokens.make(one.value, [one], "administrator") for one in Scope}
        opened: dict[tuple[str, str], list[Scope]] = {}
        for method, rule in routes(filled):
            for scope, held in tokens.items():
                answer = asking(filled.app.test_client(), held)(method, path_of(filled, rule))
                assert answer.status_code not in (401, 500)
                if answer.status_code != 403:
                    opened.setdefault((method, rule.rule), []).append(scope)
        assert len(opened) == len(list(routes(filled))) >= 20
        assert {tuple(scopes) for scopes in opened.values()} == {(one,) for one in Scope}
        assert opened["POST", f"{PREFIX}/check"] == [Scope.CHECK]
        assert opened["POST", f"{PREFIX}/release"] == [Scope.SUPPRESS]
        assert opened["POST", f"{PREFIX}/bounces"] == [Scope.INTAKE]

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic c2hvcDpzaG9w"},
            {"Authorization": "Bearer mailroom_x"},
        ],
    )
    def test_nobody_comes_in_without_a_token(self, filled: Filled, headers: dict[str, str]) -> None:
        for method, rule in routes(filled):
            address = PREFIX + path_of(filled, rule)
            answer = filled.app.test_client().open(address, method=method, headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "Authorization: Bearer" in answer.get_json()["message"]

    def test_a_person_s_cookie_opens_nothing(self, filled: Filled) -> None:
        client = client_of(filled.app, Role.ADMINISTRATOR)
        assert client.get(f"{PREFIX}/lists").status_code == 401

    def test_a_token_is_revoked_at_once_and_its_name_stays_taken(self, filled: Filled, token: str, ask: Ask) -> None:
        assert ask("GET", "/lists").status_code == 200
        filled.backing.tokens.revoke("shop", "administrator")
        assert ask("GET", "/lists").status_code == 401
        with pytest.raises(ConfigurationError, match="is, or was"):
            filled.backing.tokens.make("shop", [Scope.CHECK], "administrator")
        with pytest.raises(ConfigurationError, match="no token"):
            filled.backing.tokens.revoke("shop", "administrator")
        with filled.backing.engine.connect() as connection:
            row = connection.execute(select(api_token)).one()
            said = connection.execute(select(audit.c.what).where(audit.c.subject == "shop")).scalars().all()
        assert token not in repr(row)
        assert row.used_at is not None
        assert said == ["token-make", "token-revoke"]

    def test_a_token_opens_something(self, filled: Filled) -> None:
        with pytest.raises(ConfigurationError, match="at least one"):
            filled.backing.tokens.make("nothing", [], "administrator")

    def test_who_asks_too_often_waits(self, filled: Filled, token: str) -> None:
        backing = replace(filled.backing, pace=Pace(3))
        ask = asking(create_application(backing, secret_key=SECRET_KEY).test_client(), token)
        answers = [ask("GET", "/lists") for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60

    def test_consoles_count_together_in_redis_and_alone_without(
        self, filled: Filled, token: str, redis_url: str
    ) -> None:
        paces = [Pace(3, redis_url), Pace(3, redis_url)]
        waits = [paces[number % 2].wait("shop") for number in range(4)]
        assert waits[:3] == [0, 0, 0]
        assert waits[3] > 0
        alone = Pace(2, "redis://127.0.0.1:1/0")
        assert [alone.wait("shop") > 0 for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/check", b"{", 400),
            ("/check", b'{"addresses": ["a\\u0000b@example.com"]}', 400),
            ("/check", b'{"addresses": ["\\ud800@example.com"]}', 400),
            ("/check", b'{"addresses": "a@example.com"}', 422),
            ("/check", b'{"addresses": []}', 422),
            ("/check", b'{"addresses": [' + b'"a@b.c",' * 1000 + b'"a@b.c"]}', 422),
            ("/suppress", b'{"addresses": ["a@example.com"], "why": ""}', 422),
            ("/suppress", b'{"addresses": ["no address"], "why": "because"}', 422),
            ("/lists/nothing/runs", b"{}", 404),
            ("/runs/nothing/apply", b"{}", 404),
            ("/nothing", b"{}", 404),
        ],
    )
    def test_what_is_wrong_is_told_as_json(self, ask: Ask, path: str, body: bytes, status: int) -> None:
        answer = ask("POST", path, data=body, content_type="application/json")
        assert answer.status_code == status, answer.text
        assert set(answer.get_json()) == {"message", "detail"}


class Breaking:
    """Publishes, and leaves a database behind in which no answer can be kept."""

    def __init__(self, publisher: Publisher, engine: Engine) -> None:
        self._publisher = publisher
        self._engine = engine

    def publish(self, messages: Iterable[Message]) -> None:
        self._publisher.publish(messages)
        with self._engine.begin() as connection:
            connection.execute(text("DROP TABLE api_reply"))


class TestIdempotency:
    BODY: ClassVar = {"addresses": ["jane@example.com"], "why": "asked us"}

    def test_a_request_again_is_answered_and_not_done_again(self, filled: Filled, ask: Ask) -> None:
        first = ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"})
        again = ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"})
        assert (again.status_code, again.get_json()) == (200, first.get_json())
        assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
        assert first.get_json()["marked"][0]["before"] == "ok"
        with filled.backing.engine.connect() as connection:
            rows = connection.execute(select(audit).where(audit.c.subject == "jane@example.com")).all()
        assert [row.who for row in rows] == ["token shop"]

    def test_another_request_with_the_key_is_refused(self, ask: Ask) -> None:
        ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"})
        other = ask("POST", "/suppress", self.BODY | {"why": "another"}, headers={"Idempotency-Key": "1"})
        assert (other.status_code, "another request" in other.get_json()["message"]) == (422, True)
        assert ask("POST", "/release", self.BODY, headers={"Idempotency-Key": "1"}).status_code == 422

    def test_two_at_once_and_one_that_died(self, filled: Filled, ask: Ask) -> None:
        assert ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"}).status_code == 200
        with filled.backing.engine.begin() as connection:
            connection.execute(update(api_reply).values(status=None, body=None))
        busy = ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"})
        assert (busy.status_code, busy.headers["Retry-After"]) == (409, "1")
        with filled.backing.engine.begin() as connection:
            begun_at = connection.execute(select(api_reply.c.begun_at)).scalar_one()
            connection.execute(update(api_reply).values(begun_at=begun_at - GIVEN_UP * 2))
        assert ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": "1"}).status_code == 200

    def test_what_failed_on_our_side_may_be_tried_again(self, filled: Filled, token: str, amqp_url: str) -> None:
        away = ConfirmingPublisher(NOBODY, 0.2)
        answers = []
        for publisher in (away, filled.backing.publisher):
            app = create_application(replace(filled.backing, publisher=publisher), secret_key=SECRET_KEY)
            send = asking(app.test_client(), token)
            answers.append(send("POST", "/lists/weekly/runs", {}, headers={"Idempotency-Key": "1"}))
        assert [one.status_code for one in answers] == [503, 202]
        assert int(answers[0].headers["Retry-After"]) > 0

    def test_what_is_done_is_told_also_when_the_answer_cannot_be_kept(self, filled: Filled, token: str) -> None:
        publisher = Breaking(filled.backing.publisher, filled.backing.engine)
        app = create_application(replace(filled.backing, publisher=publisher), secret_key=SECRET_KEY)
        send = asking(app.test_client(), token)
        assert send("POST", "/lists/weekly/runs", {}, headers={"Idempotency-Key": "1"}).status_code == 202

    @pytest.mark.parametrize("key", ["", "x" * 129])
    def test_no_key_at_all(self, ask: Ask, key: str) -> None:
        assert ask("POST", "/suppress", self.BODY, headers={"Idempotency-Key": key}).status_code == 400


class TestAddresses:
    def test_may_they_be_mailed(self, ask: Ask) -> None:
        addresses = ["GONE@example.net", "full@example.net", "new@example.com", "no address"]
        answer = ask("POST", "/check", {"addresses": addresses, "details": True}).get_json()
        assert [one["address"] for one in answer["invalid"]] == ["no address"]
        told = {one["address"]: one for one in answer["answers"]}
        gone = told["GONE@example.net"]
        assert (gone["suppressed"], gone["state"], gone["reason"]) == (True, "bounced", "user-unknown")
        assert told["full@example.net"]["state"] == "ok"
        assert told["new@example.com"] == {
            "address": "new@example.com", "suppressed": False, "state": "ok", "reason": None, "since": None, "soft": 0
        }  # fmt: skip
        assert list(ask("POST", "/check", {"addresses": ["a@b.example"]}).get_json()["answers"][0]) == [
            "address",
            "suppressed",
        ]

    def test_suppressed_released_and_why(self, ask: Ask) -> None:
        body = {"addresses": ["Jane@Example.com"], "why": "asked us"}
        assert ask("POST", "/suppress", body).get_json()["marked"] == [
            {"address": "jane@example.com", "before": "ok", "after": "suppressed"}
        ]
        assert ask("POST", "/check", {"addresses": ["jane@example.com"]}).get_json()["answers"][0]["suppressed"] is True
        assert ask("POST", "/release", body).get_json()["marked"][0]["after"] == "ok"
        history = ask("GET", "/history?address=JANE@example.com").get_json()
        marks = [(one["state"], one["who"], one["why"]) for one in history["entries"] if one["type"] == "mark"]
        assert marks == [("suppressed", "token shop", "asked us"), ("released", "token shop", "asked us")]
        assert (history["state"], history["is_known"]) == ("ok", True)

    def test_history_shows_the_evidence(self, ask: Ask) -> None:
        entries = ask("GET", "/history?address=gone@example.net").get_json()["entries"]
        (report,) = entries[0]["reports"]
        assert (report["reason"], report["status"]) == ("user-unknown", "5.1.1")


class TestIntake:
    def taken(self, amqp_url: str) -> list[Any]:
        close_connection(open_connection(amqp_url))  # which declares the queues
        connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        channel = connection.channel()
        got = []
        while (found := channel.basic_get(CLASSIFIER_RAW.name, auto_ack=True))[0] is not None:
            got.append(found)
        connection.close()
        return got

    def test_the_mail_itself(self, filled: Filled, ask: Ask) -> None:
        answer = ask("POST", "/bounces?list_id=weekly", data=MAIL, content_type="message/rfc822")
        assert (answer.status_code, answer.get_json()) == (202, {"raw_id": raw_id(MAIL)})
        ((_, properties, body),) = self.taken(filled.amqp_url)
        assert body == MAIL
        assert (properties.headers["list_id"], properties.headers["source"]) == ("weekly", "token shop")

    def test_json_alone_and_many(self, filled: Filled, ask: Ask) -> None:
        one = {"raw": base64.b64encode(MAIL).decode(), "received_at": "2026-03-01T12:00:00+00:00"}
        assert ask("POST", "/bounces", one).get_json() == {"raw_id": raw_id(MAIL)}
        many = ask("POST", "/bounces/batch", {"bounces": [one] * 100})
        assert (many.status_code, len(many.get_json()["raw_ids"])) == (202, 100)
        assert len(self.taken(filled.amqp_url)) == 101

    def test_a_large_mail_is_cut_as_everywhere(self, filled: Filled, ask: Ask) -> None:
        large = MAIL + b"x" * 3_000_000
        assert ask("POST", "/bounces", data=large, content_type="message/rfc822").status_code == 202
        ((_, properties, body),) = self.taken(filled.amqp_url)
        assert len(body) == 512 * 1024
        assert properties.headers["truncated"] is True

    @pytest.mark.parametrize(
        ("data", "content_type", "status"),
        [
            (b"", "message/rfc822", 422),
            (b" \r\n", "message/rfc822", 422),
            (b"{}", "application/json", 422),
            (json.dumps({"raw": "no base64!"}).encode(), "application/json", 422),
            (json.dumps({"raw": "eA==", "list_id": "no list"}).encode(), "application/json", 422),
            (MAIL, "text/plain", 415),
        ],
    )
    def test_what_is_no_bounce(self, filled: Filled, ask: Ask, data: bytes, content_type: str, status: int) -> None:
        answer = ask("POST", "/bounces", data=data, content_type=content_type)
        assert answer.status_code == status, answer.text
        assert answer.get_json()["message"]
        assert self.taken(filled.amqp_url) == []

    def test_nothing_is_taken_while_the_broker_is_away(self, filled: Filled, token: str) -> None:
        backing = replace(filled.backing, publisher=ConfirmingPublisher(NOBODY, 0.2))
        send = asking(create_application(backing, secret_key=SECRET_KEY).test_client(), token)
        answer = send("POST", "/bounces", data=MAIL, content_type="message/rfc822")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


class TestListsAndRuns:
    def test_lists_come_in_pages(self, filled: Filled, ask: Ask) -> None:
        for number in range(7):
            filled.backing.lists.add(ContactList(f"list{number}", "bounce@example.com"), None, None, "tests")
        names, after = [], ""
        while after is not None:
            page = ask("GET", f"/lists?limit=3&after={after}").get_json()
            names += [one["list_id"] for one in page["lists"]]
            after = page["next"]
        assert names == [*(f"list{number}" for number in range(7)), "weekly"]
        assert ask("GET", "/lists?after=rubbish").status_code == 422

    def test_a_list_is_added_changed_and_removed(self, ask: Ask) -> None:
        added = ask("POST", "/lists", {"list_id": "shop", "bounce_email": "bounce@example.com"})
        assert (added.status_code, added.get_json()["account"]) == (201, None)
        assert ask("POST", "/lists", {"list_id": "shop", "bounce_email": "bounce@example.com"}).status_code == 422
        assert ask("PATCH", "/lists/shop", {"title": "The shop"}).get_json()["title"] == "The shop"
        assert ask("POST", "/lists/shop/runs", {}).status_code == 422
        assert ask("DELETE", "/lists/shop").status_code == 204
        assert ask("GET", "/lists/shop").status_code == 404

    def test_settings_that_do_not_work_are_not_saved_nor_a_password_told(self, ask: Ask) -> None:
        account = {"server": "127.0.0.1:1", "tls": "implicit", "password": "canary-password"}
        refused = ask("POST", "/lists", {"list_id": "shop", "bounce_email": "b@example.com", "account": account})
        assert refused.status_code == 422
        assert "nothing was saved" in refused.get_json()["message"]
        assert "canary" not in refused.text
        assert ask("GET", "/lists/shop").status_code == 404

    def test_a_run_is_begun_watched_and_applied(self, filled: Filled, ask: Ask) -> None:
        begun = ask("POST", "/lists/weekly/runs", {"held": True})
        assert begun.status_code == 202
        assert ask("GET", f"/runs/{begun.get_json()['run_id']}").get_json()["state"] == "held"
        found = ask("GET", f"/runs/{RUN}").get_json()
        assert (found["state"], found["found"], found["hard"], found["soft"]) == ("held", 3, 1, 1)
        said, after = [], ""
        while after is not None:
            page = ask("GET", f"/runs/{RUN}/outcomes?limit=1&after={after}").get_json()
            said += [(one["recipient"], one["verdict"]) for one in page["outcomes"]]
            after = page["next"]
        assert ("gone@example.net", "hard") in said
        assert len(said) == len(set(said)) == 3
        applied = ask("POST", f"/runs/{RUN}/apply", {"why": "looked at all of them"})
        assert applied.get_json()["state"] in ("applying", "applied")
        assert ask("POST", f"/runs/{RUN}/drop", {}).status_code == 422
        answer = ask("POST", "/check", {"addresses": ["gone@example.net"]}).get_json()
        assert answer["answers"][0]["suppressed"] is True
        assert [one["run_id"] for one in ask("GET", "/runs").get_json()["runs"]] == [RUN]


class TestDeadLetters:
    def test_looked_at_replayed_and_discarded(self, ask: Ask) -> None:
        (letter,) = ask("GET", "/dead-letters?stage=classifier").get_json()["letters"]
        assert letter["letter_id"] == LETTER
        assert ask("GET", "/dead-letters?stage=ledger").get_json()["letters"] == []
        whole = ask("GET", f"/dead-letters/{LETTER}").get_json()
        assert base64.b64decode(whole["body"]) == b"something that no rule knows"
        ids = {"letter_ids": [LETTER, "cd" * 32]}
        assert ask("POST", "/dead-letters/replay", ids).get_json() == {"done": 1}
        assert ask("POST", "/dead-letters/replay", ids).get_json() == {"done": 0}
        assert ask("POST", "/dead-letters/discard", ids | {"why": "ours"}).get_json() == {"done": 0}
        assert ask("GET", "/dead-letters/nothing").status_code == 404


def test_a_message_from_the_api_is_of_the_contract(filled: Filled, ask: Ask) -> None:
    ask("POST", "/bounces", data=MAIL, content_type="message/rfc822")
    ((_, properties, body),) = TestIntake().taken(filled.amqp_url)
    message = Message("", "", body, properties.content_type, properties.type, properties.headers)
    assert read_raw_bounce(message)["raw"] == MAIL
