"""What a batch costs as the history grows, and when one of its addresses has 10,000 events."""

from statistics import median
from time import perf_counter
from typing import Final

from sqlalchemy import Engine, text

from benchmarks.results import Bound, Row
from benchmarks.verdicts import make_verdict
from services.ledger.store_sql import SqlVerdictStore
from shared.contract import VerdictMessage
from shared.tables import connect, upgrade
from tests.servers import postgresql

BATCH: Final = 500
BATCHES: Final = 20
HISTORIES: Final = (10_000, 3_000_000)
HOT_EVENTS: Final = 10_000
_REPORTS_AN_ADDRESS: Final = 2

# Ids of the history are as long and as random as real ones, and none of them is of a mail that is measured.
_MAILS: Final = text("""
INSERT INTO raw (raw_id, run_id, received_at, kind, verdict, classifier_version, judged_at, list_id, account, truncated)
SELECT encode(sha256(convert_to(:who || n, 'UTF8')), 'hex'), 'history',
       timestamptz '2025-01-01' + n * interval '1 second', 'bounce', 'soft', 1, timestamptz '2025-01-01', 'weekly', 'weekly',
       false
FROM generate_series(1, :count) AS n
""")
_REPORTS: Final = text("""
INSERT INTO report (raw_id, recipient, event_id, tier, severity, verdict, reason, fault, action, status, reply_code,
                    diagnostic_code, final_recipient, remote_mta, rule, evidence)
SELECT encode(sha256(convert_to(:who || n, 'UTF8')), 'hex'), :who || n / :each || '@example.net',
       encode(sha256(convert_to('send' || :who || n, 'UTF8')), 'hex'), 2, 2, 'soft', 'mailbox-full',
       'recipient', 'failed', '4.2.2', '452', 'smtp; 452 4.2.2 the mailbox that you tried to reach is over quota', null,
       'mail.example.net', 'mailbox-full', 'over quota'
FROM generate_series(1, :count) AS n
""")
_ADDRESSES: Final = text("""
INSERT INTO address (recipient, state, soft, hard, version, changed_at)
SELECT DISTINCT recipient, 'ok', 0, false, 0, now() FROM report WHERE recipient LIKE :who || '%'
""")


def measure_growth(databases: postgresql.Databases) -> list[Row]:
    """Batches about addresses that have a history, in a small and in a large table; then with a hot address."""
    engine = connect(databases.create_database())
    upgrade(engine)
    took_s: list[float] = []
    numbers = iter(range(10_000_000, 20_000_000))
    there = 0
    for reports in HISTORIES:
        planted = reports - there
        _plant(engine, f"reader{reports}-", planted, _REPORTS_AN_ADDRESS)
        there = reports
        known = planted // _REPORTS_AN_ADDRESS
        took_s.append(
            _batch_s(engine, [_about(f"reader{reports}-", known, next(numbers)) for _ in range(BATCH * BATCHES)])
        )
    _plant(engine, "hot", HOT_EVENTS - 1, HOT_EVENTS)
    plain: list[float] = []
    hot: list[float] = []
    for _ in range(BATCHES):
        batch = [_about(f"reader{HISTORIES[-1]}-", 100_000, next(numbers)) for _ in range(BATCH)]
        plain.append(_once_s(engine, batch))
        batch = [_about(f"reader{HISTORIES[-1]}-", 100_000, next(numbers)) for _ in range(BATCH - 1)]
        hot.append(_once_s(engine, [*batch, make_verdict(next(numbers), "hot0@example.net")]))
    engine.dispose()
    growth = f"a batch after {HISTORIES[1]:,} reports, in times of one after {HISTORIES[0]:,}"
    heat = f"a batch with one of {HOT_EVENTS:,} events, in times of one without"
    return [
        Row(growth, round(took_s[1] / took_s[0], 2), "×", goal=1.5, bound=Bound.MOST_VALUE),
        Row(heat, round(median(hot) / median(plain), 2), "×", goal=3.0, bound=Bound.MOST_VALUE),
    ]


def _about(who: str, known: int, number: int) -> VerdictMessage:
    return make_verdict(number, f"{who}{number * 7919 % known}@example.net")


def _plant(engine: Engine, who: str, count: int, each: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_MAILS, {"who": who, "count": count})
        connection.execute(_REPORTS, {"who": who, "count": count, "each": each})
        connection.execute(_ADDRESSES, {"who": who})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _batch_s(engine: Engine, verdicts: list[VerdictMessage]) -> float:
    return median(_once_s(engine, verdicts[start : start + BATCH]) for start in range(0, len(verdicts), BATCH))


def _once_s(engine: Engine, batch: list[VerdictMessage]) -> float:
    store = SqlVerdictStore(engine)
    began = perf_counter()
    store.record(batch)
    return perf_counter() - began
