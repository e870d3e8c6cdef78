"""The ledger's record on SQLite: reports a second with an exact state.

The floor is a plain insert of as many rows in as many transactions.
"""

import hashlib
import random
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy import insert

from benchmarks.results import Row, rate
from services.ledger.store_sql import SqlVerdictStore
from shared.contract import VerdictMessage
from shared.tables import connect, upgrade
from shared.tables.ledger import audit

BATCH = 500
BATCHES = 10
ADDRESSES = 5_000
_numbers = count()
_chance = random.Random(5)
_began = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> list[Row]:
    """Reports a second, in batches of 500, a tenth of them seen before."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/ledger.db")
        upgrade(engine)
        store = SqlVerdictStore(engine)

        def insert_plainly() -> int:
            row = {"made_at": _began, "who": "w" * 64, "what": "w" * 32, "subject": "s" * 64, "why": "y" * 300}
            for _ in range(BATCHES):
                with engine.begin() as connection:
                    connection.execute(insert(audit), [row] * BATCH)
            return BATCH * BATCHES

        def record() -> int:
            for _ in range(BATCHES):
                store.record(_batch())
            return BATCH * BATCHES

        floor = rate(insert_plainly)
        rows = [Row("record, SQLite", rate(record), "reports/s", floor)]
        engine.dispose()
        return rows


def _batch() -> list[VerdictMessage]:
    verdicts = [_verdict(next(_numbers)) for _ in range(BATCH * 9 // 10)]
    return verdicts + verdicts[: BATCH - len(verdicts)]


def _verdict(number: int) -> VerdictMessage:
    recipient = f"reader{_chance.randrange(ADDRESSES)}@example.net"
    return {
        "schema_version": 1,
        "raw_id": hashlib.sha256(b"mail %d" % number).hexdigest(),
        "publisher_id": None,
        "list_id": "weekly",
        "run_id": "run",
        "account": "weekly",
        "kind": "bounce",
        "verdict": "soft",
        "received_at": _began + timedelta(seconds=number),
        "truncated": False,
        "reporting_mta": "mx.example.com",
        "campaign": None,
        "classifier_version": 1,
        "judged_at": _began,
        "outcomes": [
            {
                "event_id": hashlib.sha256(b"send %d" % number).hexdigest(),
                "tier": 2,
                "recipient": recipient,
                "final_recipient": recipient,
                "verdict": "soft",
                "reason": "mailbox-full",
                "fault": "recipient",
                "action": "failed",
                "status": "4.2.2",
                "reply_code": "452",
                "diagnostic_code": "smtp; 452 4.2.2 The recipient's mailbox is over quota " + "." * 200,
                "remote_mta": "mail.example.net",
                "rule": "mailbox-full",
                "evidence": "mailbox is over quota",
            }
        ],
    }
