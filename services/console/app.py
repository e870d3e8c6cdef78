"""The console's composition root: settings, adapters, the application, and the server that runs it."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import structlog
from flask import Flask
from sqlalchemy import Engine

from services.console.application import create_application
from services.console.backing import Backing
from services.console.links import OneTimeLink
from services.console.pace import Pace
from services.console.queues import depths
from services.fetcher.reach import ANYWHERE, PublicServers, Reach
from services.ledger.marking import Marking
from services.ledger.marks_sql import SqlMarks
from services.ledger.projection_redis import connect_projection
from services.ledger.store_sql import SqlVerdictStore
from shared import logs
from shared.bus import Publisher
from shared.environment import Environment
from shared.listening import listening
from shared.publisher import ConfirmingPublisher
from shared.secrets import KEY_VARIABLE, open_secret_box
from shared.service import run_service, stop_on_signals
from shared.sight import Place, read_place, showing
from shared.suppressions import Suppressions, connect_redis
from shared.tables import connect, require_current
from shared.tables.transactions import answers

HOST: Final = "127.0.0.1"
PORT: Final = 8080
THREADS: Final = 8
PER_MINUTE: Final = 600
PATIENCE_S: Final = 5.0
"""A person waits for the broker."""
LARGEST_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""An import of a million contacts is about 40 MB."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment."""

    database_url: str
    amqp_url: str
    redis_url: str
    """Empty: senders ask the database."""
    secret_key: str
    """As in MAILROOM_SECRET_KEY: cookies are signed with what is derived from it."""
    host: str
    port: int
    is_https: bool
    """Browsers reach it over HTTPS, by a proxy in front: cookies are for HTTPS only."""
    is_inner_allowed: bool
    """Mail servers may stand on the inner network."""
    proxies: int
    """How many of our own stand in front, and say who asks."""
    requests_per_minute: int
    """Of each API token."""
    metrics: Place | None
    log_level: str

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            database_url=environment.text("MAILROOM_DATABASE_URL"),
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            redis_url=environment.text("MAILROOM_REDIS_URL", ""),
            secret_key=environment.text("MAILROOM_SECRET_KEY"),
            host=environment.text("MAILROOM_CONSOLE_HOST", HOST),
            port=environment.integer("MAILROOM_CONSOLE_PORT", PORT, most=65535),
            is_https=bool(environment.integer("MAILROOM_CONSOLE_HTTPS", 0, most=1)),
            is_inner_allowed=bool(environment.integer("MAILROOM_CONSOLE_INNER_SERVERS", 0, most=1)),
            proxies=environment.integer("MAILROOM_CONSOLE_PROXIES", 0, most=5),
            requests_per_minute=environment.integer("MAILROOM_API_REQUESTS_PER_MINUTE", PER_MINUTE, least=1),
            metrics=read_place(environment),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
        )
        environment.check()
        return settings


def make_backing(
    settings: Settings,
    engine: Engine,
    publisher: Publisher,
    *,
    queue_depths: Callable[[], dict[str, int] | None] | None = None,
    link: OneTimeLink | None = None,
) -> Backing:
    """The adapters, wired. `queue_depths` stands in for asking the broker."""
    projection = connect_projection(settings.redis_url) if settings.redis_url else None
    reach: Reach = ANYWHERE if settings.is_inner_allowed else PublicServers()
    return Backing(
        engine=engine,
        suppressions=Suppressions(engine, connect_redis(settings.redis_url) if settings.redis_url else None),
        marking=Marking(SqlMarks(engine), SqlVerdictStore(engine), projection, publisher),
        publisher=publisher,
        open_box=partial(open_secret_box, {KEY_VARIABLE: settings.secret_key}),
        reach=reach,
        queue_depths=queue_depths or partial(depths, settings.amqp_url),
        pace=Pace(settings.requests_per_minute, settings.redis_url),
        link=link,
    )


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("console", settings.log_level)
    engine = connect(settings.database_url)
    require_current(engine)
    publisher = ConfirmingPublisher(settings.amqp_url, PATIENCE_S)
    application = create_application(
        make_backing(settings, engine, publisher),
        secret_key=settings.secret_key,
        is_https=settings.is_https,
        proxies=settings.proxies,
    )
    stop = stop_on_signals()
    try:
        with (
            showing(settings.metrics, {"the database": partial(answers, engine)}),
            serving(application, settings.host, settings.port) as port,
        ):
            log.info("console_listens", host=settings.host, port=port)
            stop.wait()
    finally:
        publisher.close()
        engine.dispose()


def serving(application: Flask, host: str, port: int) -> AbstractContextManager[int]:
    """Answers browsers and programs while the block lasts; as `listening`."""
    return listening(application, host, port, threads=THREADS, largest_request_bytes=LARGEST_REQUEST_BYTES)


def main() -> int:
    """The process's exit status."""
    return run_service("console", serve)
