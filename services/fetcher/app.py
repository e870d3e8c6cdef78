"""The fetcher's composition root: settings, adapters, and the one queue that it reads."""

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from services.fetcher.accounts import Accounts, load_accounts
from services.fetcher.handler import FetchHandler, Patience
from services.fetcher.store_sql import SqlCheckpoint
from shared import logs
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Bus
from shared.environment import Environment
from shared.service import run_service, stop_on_signals
from shared.tables import connect, require_current
from shared.topology import FETCHER_REQUESTS


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment."""

    amqp_url: str
    database_url: str
    accounts_file: Path
    log_level: str

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            database_url=environment.text("MAILROOM_DATABASE_URL"),
            accounts_file=Path(environment.text("MAILROOM_ACCOUNTS_FILE")),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
        )
        environment.check()
        return settings


def subscribe(
    bus: Bus,
    engine: Engine,
    accounts: Accounts,
    wait: Callable[[float], bool],
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> None:
    """Put the fetcher behind its queue, on whatever bus; `wait(seconds)` is true as soon as the process has to stop."""
    checkpoint = SqlCheckpoint(engine)
    handler = FetchHandler(accounts, checkpoint, bus, holder=uuid.uuid4().hex, wait=wait, patience=patience)
    bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1), checkpoint.answers)


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("fetcher", settings.log_level)
    accounts = load_accounts(settings.accounts_file, os.environ)
    engine = connect(settings.database_url)
    require_current(engine)
    bus = BrokerBus(settings.amqp_url)
    stop = stop_on_signals()
    subscribe(bus, engine, accounts, stop.wait)
    try:
        bus.run(stop)
    finally:
        bus.close()
        engine.dispose()


def main() -> int:
    """The process's exit status."""
    return run_service("fetcher", serve)
