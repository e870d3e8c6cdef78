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
    """Batches about addresses that have a history, in a small database and in a large one; then with a hot address.

    In turns, so that whatever else the machine does slows both alike.
    """
    few, many = HISTORIES
    engines = {reports: connect(databases.create_database()) for reports in HISTORIES}
    for reports, engine in engines.items():
        upgrade(engine)
        _plant(engine, "reader", reports, _REPORTS_AN_ADDRESS)
    numbers = iter(range(10_000_000, 20_000_000))
    took_s: dict[int, list[float]] = {reports: [] for reports in HISTORIES}
    for _ in range(BATCHES):
        for reports, engine in engines.items():
            known = reports // _REPORTS_AN_ADDRESS
            took_s[reports].append(_once_s(engine, [_about(known, next(numbers)) for _ in range(BATCH)]))
    large = engines[many]
    _plant(large, "hot", HOT_EVENTS - 1, HOT_EVENTS)
    plain: list[float] = []
    hot: list[float] = []
    for _ in range(BATCHES):
        plain.append(_once_s(large, [_about(100_000, next(numbers)) for _ in range(BATCH)]))
        others = [_about(100_000, next(numbers)) for _ in range(BATCH - 1)]
        hot.append(_once_s(large, [*others, make_verdict(next(numbers), "hot0@example.net")]))
    for engine in engines.values():
        engine.dispose()
    growth = f"a batch after {many:,} reports, in times of one after {few:,}"
    heat = f"a batch with one of {HOT_EVENTS:,} events, in times of one without"
    return [
        Row(growth, round(median(took_s[many]) / median(took_s[few]), 2), "×", goal=1.5, bound=Bound.MOST_VALUE),
        Row(heat, round(median(hot) / median(plain), 2), "×", goal=3.0, bound=Bound.MOST_VALUE),
    ]


def _about(known: int, number: int) -> VerdictMessage:
    return make_verdict(number, f"reader{number * 7919 % known}@example.net")


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


def _once_s(engine: Engine, batch: list[VerdictMessage]) -> float:
    store = SqlVerdictStore(engine)
    began = perf_counter()
    store.record(batch)
    return perf_counter() - began
