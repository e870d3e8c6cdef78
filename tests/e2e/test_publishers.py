"""Other services publish too: what is in the contract is counted, what is not is set aside, whoever sent it."""

import base64
import pickle
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pika
import pytest

from shared.tables import connect, upgrade
from tests.e2e.mails import FULL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import Services, services
from tests.e2e.state import folded_state
from tests.servers.waiting import eventually

HEADERS = {"list_id": "weekly", "received_at": "2026-01-05T10:00:00+00:00"}

POISON = [
    ("a wrong version", b"From: a@example.com\n\nhello", "message/rfc822", {"schema_version": 9}, "schema_version"),
    ("a pickle", pickle.dumps({"raw": b"x"}), "application/x-python-serialize", {}, "content type"),
    ("an empty body", b"", "message/rfc822", {}, "empty"),
    ("broken JSON", b'{"raw": ', "application/json", {}, "not JSON"),
    ("broken base64", b'{"raw": "%%%"}', "application/json", {}, "base64"),
    ("no mail in it", b'{"list_id": "weekly"}', "application/json", {}, "raw"),
    ("beyond the limit", b"x" * (1024 * 1024 + 1), "message/rfc822", {}, "1048576"),
]


def publish(amqp_url: str, body: bytes, content_type: str, headers: dict[str, object]) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        publish_on(connection, body, content_type, headers)


def publish_on(connection: pika.BlockingConnection, body: bytes, content_type: str, headers: dict[str, object]) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(
        content_type=content_type, type="mailroom.raw-bounce", headers=headers, delivery_mode=2
    )
    channel.basic_publish("mailroom", "bounce.raw", body, properties, mandatory=True)


def mailroom(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mailroom"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def environment(amqp_url: str, database_url: str, redis_url: str) -> dict[str, str]:
    engine = connect(database_url)
    upgrade(engine)
    engine.dispose()
    return {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "PATH": str(Path(sys.executable).parent),
    }


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path):  # type: ignore[no-untyped-def]
    with services(environment, tmp_path) as started:
        started.start("classifier")
        started.start("ledger")
        yield started


def test_bytes_and_json_of_a_foreign_client_are_counted(
    environment: dict[str, str], running: Services, database_url: str
) -> None:
    publish_when_declared(environment, bounce_of(Send("bytes@example.net", 1, *UNKNOWN)), "message/rfc822", HEADERS)
    document = {**HEADERS, "raw": base64.b64encode(bounce_of(Send("json@example.net", 2, *UNKNOWN))).decode()}
    publish(environment["MAILROOM_AMQP_URL"], orjson.dumps(document), "application/json", {})
    eventually(
        lambda: (
            mailroom("check", "bytes@example.net", environment=environment).returncode == 1
            and mailroom("check", "json@example.net", environment=environment).returncode == 1
        ),
        "both addresses to be suppressed",
        timeout_s=60,
    )
    assert mailroom("check", "other@example.net", environment=environment).returncode == 0


def test_poison_is_listed_with_its_reason_disturbs_nobody_and_replays_to_nothing(
    environment: dict[str, str], running: Services, database_url: str
) -> None:
    good = [Send("full@example.net", number, *FULL) for number in range(3)]
    publish_when_declared(environment, bounce_of(good[0]), "message/rfc822", HEADERS)
    for _, body, content_type, headers, _ in POISON:
        publish(environment["MAILROOM_AMQP_URL"], body, content_type, headers)
    for send in good[1:]:
        publish(environment["MAILROOM_AMQP_URL"], bounce_of(send), "message/rfc822", HEADERS)

    def letters() -> list[dict[str, object]]:
        listed = mailroom("dead", "list", "--json", environment=environment)
        assert listed.returncode == (1 if listed.stdout else 0)
        return [orjson.loads(line) for line in listed.stdout.splitlines()]

    eventually(lambda: len(letters()) == len(POISON), "a letter for each poison", timeout_s=60)
    reasons = [str(letter["reason"]) for letter in letters()]
    for what, *_, words in POISON:
        assert any(words in reason for reason in reasons), (what, reasons)
    assert {letter["queue"] for letter in letters()} == {"classifier.raw"}
    assert all("Traceback" not in reason for reason in reasons)

    engine = connect(database_url)
    eventually(lambda: len(folded_state(engine)["mails"]) == len(good), "the good mails", timeout_s=60)
    before = folded_state(engine)
    for attempt in (2, 3):
        replayed = mailroom("dead", "replay", "--all", environment=environment)
        assert replayed.returncode == 0, replayed.stderr
        eventually(
            lambda attempt=attempt: {letter["attempts"] for letter in letters()} == {attempt},
            f"every letter to die a {attempt}. time",
            timeout_s=60,
        )
    assert folded_state(engine) == before
    engine.dispose()
    shown = mailroom("dead", "show", "--reason", "base64", environment=environment)
    assert shown.returncode == 0
    assert "base64" in shown.stdout


def publish_when_declared(
    environment: dict[str, str], body: bytes, content_type: str, headers: dict[str, object]
) -> None:
    """The first publish waits for the services to declare the queues."""

    def published() -> bool:
        try:
            publish(environment["MAILROOM_AMQP_URL"], body, content_type, headers)
        except (pika.exceptions.UnroutableError, pika.exceptions.ChannelClosedByBroker):
            return False
        return True

    eventually(published, "the queues to be declared", timeout_s=60)
