"""Verdicts that somebody got wrong: set aside with the reason, or recorded by a documented clamp; never a wrong count."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from services.ledger.handler import VerdictHandler
from services.ledger.store_sql import SqlVerdictStore
from shared.bus import Delivery, Message
from shared.contract import JSON
from shared.local_bus import LocalBus
from shared.topology import EXCHANGE, LEDGER_VERDICTS, VERDICT
from tests.property.ledger_model import at, name, outcome, standing, stored, verdict

ANN = "ann@example.com"


def delivery(message: dict[str, Any]) -> Delivery:
    return Delivery(Message(EXCHANGE, VERDICT, orjson.dumps(message), JSON, ""), LEDGER_VERDICTS.name)


def handle(engine: Engine, *messages: dict[str, Any]) -> list[str]:
    """The reasons of those that are set aside."""
    handler = VerdictHandler(SqlVerdictStore(engine), None, LocalBus())
    return [rejection.reason for rejection in handler([delivery(message) for message in messages])]


def made(mail: str = "1", **fields: Any) -> dict[str, Any]:
    return {**verdict(mail, outcome(ANN)), **fields}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (made(outcomes=[outcome(f"reader{n}@example.com") for n in range(1001)]), "Longer than maximum length 1000"),
        (made(outcomes=[outcome("a" * 10_000 + "@example.com")]), "Longer than maximum length 320"),
        (made(outcomes=[outcome("a" * 250 + "@example.com")]), "longer than 254 octets"),
        (made(outcomes=[outcome("nobody")]), "is no e-mail address"),
        (made(outcomes=[outcome(ANN, "lethal")]), "Must be one of"),
        (made(outcomes=[outcome(ANN, reason="User Unknown")]), "must be kebab case"),
        (made(received_at="2026-03-01T12:00:00"), "Not a valid aware datetime"),
        (made(received_at="yesterday"), "Not a valid datetime"),
        (made(raw_id="1"), "64 hexadecimal digits"),
        (made(classifier_version=2**31), "2147483647"),
    ],
)
def test_set_aside_and_its_neighbours_recorded(engine: Engine, message: dict[str, Any], reason: str) -> None:
    neighbour = {**verdict("2", outcome("bob@example.com"))}
    (said,) = handle(engine, message, neighbour)
    assert reason in said
    assert stored(engine).addresses.keys() == {"bob@example.com"}


def test_a_reason_of_tomorrow_is_recorded(engine: Engine) -> None:
    assert handle(engine, made(outcomes=[outcome(ANN, reason="eaten-by-a-whale")])) == []
    assert standing(engine, ANN).reason == "eaten-by-a-whale"


def test_times_are_kept_between_1970_and_now(engine: Engine) -> None:
    early = made("1", outcomes=[outcome(ANN)], received_at=datetime(1950, 1, 1, tzinfo=UTC))
    late = made("2", outcomes=[outcome("bob@example.com")], received_at=datetime(2999, 1, 1, tzinfo=UTC))
    assert handle(engine, early, late) == []
    assert standing(engine, ANN).since == datetime(1970, 1, 1, tzinfo=UTC)
    since = standing(engine, "bob@example.com").since
    assert since is not None
    assert abs(since - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_event_that_returns_with_another_address_is_another_event(engine: Engine) -> None:
    same = name("one send")
    mails = [
        made(str(number), outcomes=[outcome(recipient, "soft", event_id=same)], received_at=at(number))
        for number, recipient in enumerate((ANN, "bob@example.com", ANN))
    ]
    assert handle(engine, *mails) == []
    assert [standing(engine, one).soft for one in (ANN, "bob@example.com")] == [1, 1]


def test_an_address_in_another_form_is_counted_as_the_one_that_senders_ask_for(engine: Engine) -> None:
    forms = ["Ann@Example.COM", '"ann"@example.com.', "ann@example.com"]
    mails = [
        made(str(number), outcomes=[outcome(form, "soft", event_id=name(f"send {number}"))])
        for number, form in enumerate(forms)
    ]
    assert handle(engine, *mails) == []
    assert {one: row.soft for one, row in stored(engine).addresses.items()} == {ANN: 3}
