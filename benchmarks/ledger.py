"""The ledger: reports a second with an exact state, on PostgreSQL, several at once, from RabbitMQ to Redis, on SQLite."""

import multiprocessing
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Engine

from benchmarks import lookups
from benchmarks.ledger_floors import as_plain_rows, as_rows, in_one_statement, insert_plainly
from benchmarks.ledger_growth import measure_growth
from benchmarks.results import Row
from benchmarks.verdicts import in_batches, make_verdicts
from services.ledger.handler import VerdictHandler
from services.ledger.projection_redis import RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import rebuild
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Delivery, Handler, Rejection
from shared.contract import VerdictMessage
from shared.suppressions import connect_redis
from shared.tables import connect, upgrade
from shared.topology import LEDGER_VERDICTS
from shared.wire import verdict_message
from tests.property.ledger_model import expected, stored
from tests.servers import postgresql, rabbitmq, redis

REPORTS: Final = 100_000
BATCH: Final = 2_000
ON_SQLITE: Final = 40_000
LEDGERS: Final = (2, 4)

R = TypeVar("R")
MakeHandler = Callable[[BrokerBus], Handler]


def measure() -> list[Row]:
    """Every row verifies its state against a model before it counts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    verdicts = make_verdicts(REPORTS)
    with ExitStack() as stack:
        databases = stack.enter_context(postgresql.start())
        broker = stack.enter_context(rabbitmq.start())
        memory = stack.enter_context(redis.start())
        alone = _measure_alone(databases, verdicts)
        rows = [alone]
        rows += [_measure_together(databases, verdicts, ledgers, alone.value) for ledgers in LEDGERS]
        rows.append(_measure_pipeline(databases, broker.fresh_url(), memory.fresh_url(), verdicts))
        rows += measure_growth(databases)
    return [*rows, _measure_sqlite(verdicts[:ON_SQLITE]), *lookups.measure()]


def _measure_alone(databases: postgresql.Databases, verdicts: Sequence[VerdictMessage]) -> Row:
    """Batch by batch in turns with the floor, each in a database of its own."""
    ours, floors = _fresh(databases), _fresh(databases)
    took_s, floor_s = _in_turns(ours, verdicts, as_rows, partial(in_one_statement, floors))
    _verify(ours, verdicts)
    row = Row("record, PostgreSQL, one ledger", _rate(took_s), "reports/s", _rate(floor_s), 0.35)
    ours.dispose()
    floors.dispose()
    return row


def _in_turns(
    ours: Engine,
    verdicts: Sequence[VerdictMessage],
    make_rows: Callable[[Sequence[VerdictMessage]], R],
    floor: Callable[[R], None],
) -> tuple[float, float]:
    """Seconds of recording, and of the floor with the same rows, batch by batch: whatever else goes on slows both."""
    store = SqlVerdictStore(ours)
    took_s = floor_s = 0.0
    for batch in in_batches(verdicts, BATCH):
        began = perf_counter()
        store.record(batch)
        took_s += perf_counter() - began
        rows = make_rows(batch)
        began = perf_counter()
        floor(rows)
        floor_s += perf_counter() - began
    return took_s, floor_s


def _measure_together(
    databases: postgresql.Databases, verdicts: Sequence[VerdictMessage], ledgers: int, alone: float
) -> Row:
    """Processes of their own over shares of the batches; all addresses are everybody's."""
    engine = _fresh(databases)
    batches = in_batches(verdicts, BATCH)
    spawning = multiprocessing.get_context("spawn")
    line = spawning.Barrier(ledgers + 1)
    url = engine.url.render_as_string(hide_password=False)
    workers = [
        spawning.Process(target=_record_share, args=(url, batches[number::ledgers], line)) for number in range(ledgers)
    ]
    for worker in workers:
        worker.start()
    line.wait()
    began = perf_counter()
    for worker in workers:
        worker.join()
    took_s = perf_counter() - began
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a ledger failed beside the others")
    _verify(engine, verdicts)
    engine.dispose()
    return Row(f"record, PostgreSQL, {ledgers} ledgers (floor: one)", _rate(took_s), "reports/s", alone, 1.0)


def _record_share(url: str, batches: Sequence[Sequence[VerdictMessage]], line: Any) -> None:
    engine = connect(url)
    store = SqlVerdictStore(engine)
    line.wait()
    for batch in batches:
        store.record(batch)
    engine.dispose()


def _measure_pipeline(
    databases: postgresql.Databases, amqp_url: str, redis_url: str, verdicts: Sequence[VerdictMessage]
) -> Row:
    """From the queue to Redis; the floor is the same consumer that acks and decodes nothing."""
    engine = _fresh(databases)
    projection = RedisProjection(connect_redis(redis_url))
    rebuild(engine, projection)

    def accept(deliveries: Sequence[Delivery]) -> list[Rejection]:
        return []

    floor_s = _consume(amqp_url, verdicts, lambda bus: accept)
    took_s = _consume(amqp_url, verdicts, lambda bus: VerdictHandler(SqlVerdictStore(engine), projection, bus))
    _verify(engine, verdicts)
    engine.dispose()
    name = "RabbitMQ → decode → PostgreSQL → Redis, one ledger"
    return Row(name, _rate(took_s), "reports/s", _rate(floor_s), 0.40)


def _consume(amqp_url: str, verdicts: Sequence[VerdictMessage], make: MakeHandler) -> float:
    """Seconds from the first to the last of a full queue."""
    bus = BrokerBus(amqp_url)
    stop = threading.Event()
    left = len(verdicts)
    handler: Handler = make(bus)

    def counted(deliveries: Sequence[Delivery]) -> list[Rejection]:
        nonlocal left
        rejections = list(handler(deliveries))
        left -= len(deliveries)
        if left <= 0:
            stop.set()
        return rejections

    bus.subscribe(LEDGER_VERDICTS.name, counted, BatchLimits(BATCH, in_work=2))
    bus.publish(verdict_message(verdict) for verdict in verdicts)
    began = perf_counter()
    bus.run(stop)
    took_s = perf_counter() - began
    bus.close()
    return took_s


def _measure_sqlite(verdicts: Sequence[VerdictMessage]) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        engines = []
        for name in ("ours", "floor"):
            engine = connect(f"sqlite:///{folder}/{name}.db")
            upgrade(engine)
            engines.append(engine)
        ours, floors = engines
        took_s, floor_s = _in_turns(ours, verdicts, as_plain_rows, partial(insert_plainly, floors))
        _verify(ours, verdicts)
        for engine in engines:
            engine.dispose()
    return Row("record, SQLite", round(len(verdicts) / took_s, 1), "reports/s", round(len(verdicts) / floor_s, 1), 0.30)


def _fresh(databases: postgresql.Databases) -> Engine:
    engine = connect(databases.create_database())
    upgrade(engine)
    return engine


def _verify(engine: Engine, verdicts: Sequence[VerdictMessage]) -> None:
    if stored(engine).addresses != expected(verdicts).addresses:
        raise SystemExit("the state is not that of the model: no figure")


def _rate(took_s: float) -> float:
    return round(REPORTS / took_s, 1)
