"""When a mail was received, and what its verdict and its dead letter carry of that."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from services.classifier.handler import RawBounceHandler
from services.classifier.sandbox import Sandbox
from shared.bus import Delivery, Message, Rejection
from shared.local_bus import LocalBus
from shared.topology import CLASSIFIER_RAW, EXCHANGE, LEDGER_VERDICTS, RAW
from shared.wire import read_verdict

NOW = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
SENT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HEADER = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def raw_bounce(body: bytes, headers: dict[str, str], sent_at: datetime | None) -> Message:
    return Message(EXCHANGE, RAW, body, "message/rfc822", headers=headers, timestamp=sent_at)


@pytest.mark.parametrize(
    ("headers", "sent_at", "received_at"),
    [
        ({"received_at": HEADER.isoformat()}, SENT, HEADER),
        ({}, SENT, SENT),
        ({}, None, NOW),
    ],
    ids=["the header", "else the AMQP timestamp", "else now"],
)
def test_when_a_mail_was_received(
    sandbox: Sandbox, headers: dict[str, str], sent_at: datetime | None, received_at: datetime
) -> None:
    bus = LocalBus()
    verdicts: list[Message] = []

    def record(batch: Sequence[Delivery]) -> list[Rejection]:
        verdicts.extend(delivery.message for delivery in batch)
        return []

    bus.subscribe(LEDGER_VERDICTS.name, record)
    handler = RawBounceHandler(sandbox, bus, lambda: NOW)
    assert handler([Delivery(raw_bounce(b"Subject: hello\n\nworld\n", headers, sent_at), CLASSIFIER_RAW.name)]) == []
    (verdict,) = map(read_verdict, verdicts)
    assert verdict["received_at"] == received_at

    (rejected,) = handler([Delivery(raw_bounce(b"", headers, sent_at), CLASSIFIER_RAW.name)])
    assert rejected.delivery.message.headers["received_at"] == received_at.isoformat(), (
        "it keeps its time when replayed"
    )
