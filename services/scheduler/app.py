"""The scheduler's composition root: settings, adapters, and a pass every few seconds."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Final, Protocol, Self

import structlog
from sqlalchemy import Engine

from services.scheduler.scheduler import Scheduler
from services.scheduler.store_sql import SqlScheduleStore
from shared import logs
from shared.bus import BrokerUnreachable, Message, Publisher
from shared.environment import Environment
from shared.errors import Transient
from shared.publisher import ConfirmingPublisher
from shared.service import run_service, stop_on_signals
from shared.sight import Checks, Place, read_place, showing
from shared.tables import connect, require_current
from shared.tables.transactions import answers
from shared.topology import EXCHANGE

PASS_S: Final = 5.0
WATCH_S: Final = 60.0
PATIENCE_S: Final = 5.0
"""How long a broker is tried while the rows of the accounts are locked; what was not published is due again."""
BEAT_S: Final = 1.0
_PROBE: Final = Message(EXCHANGE, "scheduler.probe", b"probe", "text/plain", mandatory=False)
"""Reaches no queue. A broker in alarm takes connections and confirms nothing, and when the alarm ends it delivers all that
was sent to it meanwhile: that must not be a request at each pass. Without a body it would be confirmed in an alarm, too."""

log = structlog.get_logger(__name__)


class BeatingPublisher(Publisher, Protocol):
    """One that keeps its connection alive between publishes."""

    def beat(self) -> None:
        """To be called every second."""


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment."""

    amqp_url: str
    database_url: str
    silent_after: timedelta | None
    """None: four intervals of each account, at least an hour."""
    pass_s: float
    watch_s: float
    metrics: Place | None
    log_level: str

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            database_url=environment.text("MAILROOM_DATABASE_URL"),
            silent_after=read_silent_after(environment),
            pass_s=environment.number("MAILROOM_SCHEDULER_PASS_S", PASS_S, least=0.1),
            watch_s=environment.number("MAILROOM_SCHEDULER_WATCH_S", WATCH_S, least=0.1),
            metrics=read_place(environment),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
        )
        environment.check()
        return settings


def read_silent_after(environment: Environment) -> timedelta | None:
    """MAILROOM_SILENT_AFTER_MINUTES; None when it is not set."""
    minutes = environment.number("MAILROOM_SILENT_AFTER_MINUTES", 0)
    return timedelta(minutes=minutes) if minutes else None


def run(settings: Settings, engine: Engine, publisher: BeatingPublisher, stop: Event) -> None:
    """Pass after pass until `stop`; a server that is away is waited for. Raises ConfigurationError for an old schema."""
    scheduler = Scheduler(SqlScheduleStore(engine), publisher, silent_after=settings.silent_after)
    is_checked = is_broker_away = False
    away: str | None = None
    watch_at = 0.0
    while not stop.is_set():
        try:
            if not is_checked:
                require_current(engine)
                is_checked = True
            if is_broker_away:  # it is not tried again and again while rows, or all of SQLite, are locked
                publisher.publish([_PROBE])
                is_broker_away = False
            scheduler.ask()
            if time.monotonic() >= watch_at:
                scheduler.watch()
                watch_at = time.monotonic() + settings.watch_s
            if away is not None:
                log.info("servers_are_back")
                away = None
        except Transient as exc:
            is_broker_away = isinstance(exc, BrokerUnreachable)
            if str(exc) != away:  # said once, however long it lasts
                away = str(exc)
                log.warning("waiting_for_a_server", cause=away)
        wait_until = time.monotonic() + settings.pass_s
        while (left_s := wait_until - time.monotonic()) > 0 and not stop.wait(min(BEAT_S, left_s)):
            publisher.beat()


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("scheduler", settings.log_level)
    engine = connect(settings.database_url)
    publisher = ConfirmingPublisher(settings.amqp_url, PATIENCE_S)
    stop = stop_on_signals()
    checks: Checks = {"the database": partial(answers, engine), "the broker": lambda: not publisher.is_failing}
    try:
        with showing(settings.metrics, checks):
            run(settings, engine, publisher, stop)
    finally:
        publisher.close()
        engine.dispose()


def main() -> int:
    """The process's exit status."""
    return run_service("scheduler", serve)
