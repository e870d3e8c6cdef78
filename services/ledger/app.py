"""The ledger's composition root: settings, adapters, and the three queues that it reads."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, Self

import structlog
from sqlalchemy import Engine

from services.ledger.archive_sql import SqlArchive
from services.ledger.dead_letters_sql import SqlDeadLetters
from services.ledger.handler import ArchiveHandler, DeadLetterHandler, VerdictHandler
from services.ledger.projection_redis import RedisProjection, connect_projection
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.tallies_sql import SqlTallies
from services.ledger.upkeep import drain_outbox, finish_policy, finish_runs, rebuild
from services.ledger.waiting_sql import watching
from shared import logs
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Bus
from shared.environment import Environment
from shared.errors import Transient
from shared.progress import STILL_S
from shared.service import repeating, run_service, stop_on_signals, watched
from shared.sight import Place, read_place, showing
from shared.tables import connect, require_current
from shared.tables.schema import STATEMENT_TIMEOUT_S
from shared.tables.transactions import answers
from shared.topology import LEDGER_ARCHIVE, LEDGER_DEAD, LEDGER_VERDICTS

UPKEEP_EVERY_S: Final = 1.0
BATCH: Final = 2_000
ARCHIVE_BATCH: Final = 100
"""Whole mails of up to a MiB, of which twice as many are held."""
ARCHIVE_DAYS: Final = 30
LONGEST_DAYS: Final = 36_500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment; Redis is optional."""

    amqp_url: str
    database_url: str
    redis_url: str
    batch: int
    archive_days: int
    """So long the mails themselves are kept; 0: for ever."""
    metrics: Place | None
    log_level: str

    @property
    def keep_mails(self) -> timedelta | None:
        """So long the mails themselves are kept; None: for ever."""
        return timedelta(days=self.archive_days) if self.archive_days else None

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            database_url=environment.text("MAILROOM_DATABASE_URL"),
            redis_url=environment.text("MAILROOM_REDIS_URL", ""),
            batch=environment.integer("MAILROOM_LEDGER_BATCH", BATCH, least=1),
            archive_days=environment.integer("MAILROOM_ARCHIVE_DAYS", ARCHIVE_DAYS, least=0, most=LONGEST_DAYS),
            metrics=read_place(environment),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
        )
        environment.check()
        return settings


def subscribe(bus: Bus, engine: Engine, projection: RedisProjection | None, batch: int = BATCH) -> VerdictHandler:
    """Put the ledger's handlers behind their queues, on whatever bus; the verdicts' handler for the upkeep."""

    def is_ready() -> bool:
        return answers(engine)

    # a statement has a deadline of its own; only what outlasts it hangs
    limits = BatchLimits(batch, still_s=STATEMENT_TIMEOUT_S + STILL_S)
    verdicts = VerdictHandler(SqlVerdictStore(engine), projection, bus)
    bus.subscribe(LEDGER_VERDICTS.name, verdicts, replace(limits, in_work=2), is_ready)
    mails = replace(limits, messages=min(batch, ARCHIVE_BATCH))
    bus.subscribe(LEDGER_ARCHIVE.name, ArchiveHandler(SqlArchive(engine)), mails, is_ready)
    bus.subscribe(LEDGER_DEAD.name, DeadLetterHandler(SqlDeadLetters(engine)), limits, is_ready)
    return verdicts


def keep_up(
    engine: Engine,
    projection: RedisProjection | None,
    handler: VerdictHandler,
    keep_mails: timedelta | None = None,
    tallies: SqlTallies | None = None,
) -> None:
    """One round of upkeep: rebuild Redis when it is not the database's equal, send what batches left behind.

    With `keep_mails`, some of the mails that are older lose their bytes, too; with `tallies`, changed days are counted.
    """

    def drain() -> None:
        while drain_outbox(engine, handler):
            pass

    duties: list[Callable[[], object]] = [
        partial(finish_policy, engine, handler),
        partial(finish_runs, engine, handler),
        drain,
    ]
    if projection is not None:
        duties.insert(0, partial(rebuild, engine, projection))
    if keep_mails:
        duties.append(lambda: next(SqlArchive(engine).purge(keep_mails), 0))
    if tallies is not None:
        duties.append(tallies.recount_in_turn)
    for duty in duties:  # a Redis that is away keeps nothing else from being done
        try:
            duty()
        except Transient as exc:
            log.warning("upkeep_postponed", cause=str(exc))


@contextmanager
def keeping_up(
    stop: threading.Event,
    engine: Engine,
    projection: RedisProjection | None,
    handler: VerdictHandler,
    keep_mails: timedelta | None,
) -> Iterator[None]:
    """A round of upkeep before, and then one every second beside what is done within; at its end `stop` is set."""
    # Before the first batch: new versions would soon hide that the database was restored from an older state.
    keep_up(engine, projection, handler)
    upkeep = partial(keep_up, engine, projection, handler, keep_mails, SqlTallies(engine))
    with repeating("upkeep", upkeep, UPKEEP_EVERY_S, stop):
        yield


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("ledger", settings.log_level)
    engine = connect(settings.database_url)
    require_current(engine)
    projection = connect_projection(settings.redis_url) if settings.redis_url else None
    bus = BrokerBus(settings.amqp_url)
    handler = subscribe(bus, engine, projection, settings.batch)
    stop = stop_on_signals()
    try:
        with (
            watching(engine),
            showing(settings.metrics, {"the database": partial(answers, engine), **bus.checks}, bus.stalled),
            keeping_up(stop, engine, projection, handler, settings.keep_mails),
            watched(bus.stalled),
        ):
            bus.run(stop)
    finally:
        bus.close()
        engine.dispose()


def main() -> int:
    """The process's exit status."""
    return run_service("ledger", serve)
