"""What a dead letter says of itself, whoever wrote it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.ledger.handler import read_dead_letter
from shared.bus import (
    FAILED_AT_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
    Delivery,
    HeaderValue,
    Message,
    Rejection,
    dead_letter,
)
from shared.identity import raw_id
from shared.topology import DEAD_EXCHANGE
from shared.wire import raw_bounce_message, verdict_message
from tests.property.ledger_model import name, outcome, verdict

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FAILED_AT = datetime(2026, 3, 1, tzinfo=UTC)
RAW = b"From: a@example.com\n\nbody"
MAIL = raw_bounce_message(RAW, run_id="run-1", account="news", received_at=FAILED_AT)
JSON_MAIL = Message("mailroom", "bounce.raw", json.dumps({"raw": "RnJvbTogYQoKYg=="}).encode(), "application/json")


def ours(message: Message = MAIL, queue: str = "classifier.raw", reason: str = "it broke") -> Message:
    return dead_letter(Rejection(Delivery(message, queue), reason), FAILED_AT)


def native(queue: str = "classifier.raw", **headers: HeaderValue) -> Message:
    """As the broker writes it: with the queue as its key, and its own header of what happened."""
    return replace(MAIL, exchange=DEAD_EXCHANGE, routing_key=queue, headers={**MAIL.headers, **headers})


def test_our_own_says_why_where_and_when() -> None:
    letter = read_dead_letter(ours(), NOW)
    assert (letter.queue, letter.reason, letter.failed_at) == ("classifier.raw", "it broke", FAILED_AT)
    assert (letter.raw_id, letter.run_id, letter.body) == (raw_id(RAW), "run-1", RAW)
    assert json.loads(letter.headers) == dict(MAIL.headers)


def test_the_brokers_says_which_limit_it_met() -> None:
    letter = read_dead_letter(native(**{"x-mailroom-death": "delivery_limit in classifier.raw"}), NOW)
    assert letter.queue == "classifier.raw"
    assert letter.reason == "the broker gave up on it: delivery_limit in classifier.raw"
    assert letter.failed_at == NOW
    assert "x-mailroom-death" not in letter.headers


def test_one_without_any_reason() -> None:
    assert read_dead_letter(native(), NOW).reason == "the broker gave up on it: no reason given"


def test_a_publisher_cannot_say_which_queue_it_is_replayed_to() -> None:
    letter = read_dead_letter(native(**{QUEUE_HEADER: "ledger.verdicts"}), NOW)
    assert letter.queue == "classifier.raw"


def test_the_header_says_it_where_the_key_does_not() -> None:
    letter = read_dead_letter(native("bounce.raw", **{QUEUE_HEADER: "classifier.raw"}), NOW)
    assert letter.queue == "classifier.raw"


@pytest.mark.parametrize(
    "told",
    ["2999-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "soon", "", 12, None],
)
def test_an_impossible_time_of_death_is_now(told: HeaderValue) -> None:
    assert read_dead_letter(native(**{FAILED_AT_HEADER: told}), NOW).failed_at == NOW


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 100_000, "é" * 5000])
def test_every_text_can_be_stored(text: str) -> None:
    headers: dict[str, HeaderValue] = dict.fromkeys((REASON_HEADER, QUEUE_HEADER, "run_id", "other"), text)
    message = Message(DEAD_EXCHANGE, text, b"\xff", text, text, headers, text)
    letter = read_dead_letter(message, NOW)
    limits = {"queue": 64, "reason": 2000, "run_id": 64, "content_type": 255, "type": 255, "message_id": 255}
    for field, limit in limits.items():
        value = getattr(letter, field)
        assert value
        assert len(value) <= limit
        assert "\x00" not in value
        value.encode()
    letter.headers.encode()
    assert "\x00" not in letter.headers


def test_the_same_letter_has_the_same_id_whatever_happened_to_it() -> None:
    first = read_dead_letter(ours(), NOW)
    again = read_dead_letter(ours(reason="another"), NOW)
    by_the_broker = read_dead_letter(native(), FAILED_AT)
    assert first.letter_id == again.letter_id == by_the_broker.letter_id


def test_another_queue_type_or_body_is_another_letter() -> None:
    others = [ours(), ours(queue="ledger.archive"), ours(replace(MAIL, body=b"x")), ours(replace(MAIL, type=""))]
    assert len({read_dead_letter(one, NOW).letter_id for one in others}) == 4


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (MAIL, raw_id(RAW)),
        (JSON_MAIL, raw_id(b"From: a\n\nb")),
        (verdict_message(verdict("1", outcome("ann@example.com"))), name("mail 1")),
        (replace(MAIL, body=b""), None),
        (replace(MAIL, content_type="text/plain"), None),
        (replace(JSON_MAIL, body=b"{"), None),
    ],
)
def test_which_mail_it_is_about(message: Message, expected: str | None) -> None:
    assert read_dead_letter(ours(message), NOW).raw_id == expected
