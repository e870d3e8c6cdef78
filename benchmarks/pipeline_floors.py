"""`python -m benchmarks.pipeline_floors classifier|ledger`: services that do the least that still moves the messages.

The classifier sends one constant verdict for each mail; the ledger decodes verdicts, and acks them and the mails. How many each
has settled stands in Redis, at FLOOR_KEY and the name of the queue.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import redis

from services.classifier.app import Settings as ClassifierSettings
from services.ledger.app import ARCHIVE_BATCH, BATCH
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Delivery, Rejection
from shared.contract import VerdictMessage
from shared.service import stop_on_signals
from shared.topology import CLASSIFIER_RAW, LEDGER_ARCHIVE, LEDGER_VERDICTS
from shared.wire import read_verdict, verdict_message

FLOOR_KEY = "floor:"


def _verdict() -> VerdictMessage:
    now = datetime.now(UTC)
    outcome = {
        "event_id": "0" * 64, "tier": 2, "recipient": "reader@example.net", "final_recipient": None, "verdict": "hard",
        "reason": "user-unknown", "fault": "recipient", "action": "failed", "status": "5.1.1", "reply_code": "550",
        "diagnostic_code": "smtp; 550 5.1.1 User unknown in virtual mailbox table", "remote_mta": "mail.example.net",
        "rule": "user-unknown", "evidence": "user unknown",
    }  # fmt: skip
    return {
        "schema_version": 1, "raw_id": "0" * 64, "publisher_id": None, "list_id": "weekly", "run_id": "run",
        "account": "bench", "kind": "bounce", "verdict": "hard", "received_at": now, "truncated": False,
        "reporting_mta": "mx.example.com", "campaign": None, "classifier_version": 1, "judged_at": now,
        "outcomes": [outcome],  # type: ignore[list-item]
    }  # fmt: skip


def main(service: str) -> None:
    bus = BrokerBus(os.environ["MAILROOM_AMQP_URL"])
    client = redis.Redis.from_url(os.environ["MAILROOM_REDIS_URL"])
    constant = verdict_message(_verdict())

    def settled(deliveries: Sequence[Delivery]) -> list[Rejection]:
        client.incrby(FLOOR_KEY + deliveries[0].queue, len(deliveries))
        return []

    def send_constant(deliveries: Sequence[Delivery]) -> list[Rejection]:
        bus.publish([constant] * len(deliveries))
        return settled(deliveries)

    def decode(deliveries: Sequence[Delivery]) -> list[Rejection]:
        for delivery in deliveries:
            read_verdict(delivery.message)
        return settled(deliveries)

    if service == "classifier":
        batch = ClassifierSettings.from_env(os.environ).batch
        bus.subscribe(CLASSIFIER_RAW.name, send_constant, BatchLimits(batch))
    else:
        bus.subscribe(LEDGER_VERDICTS.name, decode, BatchLimits(BATCH, in_work=2))
        bus.subscribe(LEDGER_ARCHIVE.name, settled, BatchLimits(ARCHIVE_BATCH))
    try:
        bus.run(stop_on_signals())
    finally:
        bus.close()


if __name__ == "__main__":
    main(sys.argv[1])
