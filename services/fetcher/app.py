"""The fetcher's composition root: settings, adapters, and the one queue that it reads."""

import ipaddress
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from services.fetcher.accounts import Accounts, load_accounts
from services.fetcher.accounts_sql import BothBooks, SqlAccounts
from services.fetcher.endpoint import Deadlines
from services.fetcher.handler import FetchHandler, Patience
from services.fetcher.lists_sql import SqlLists
from services.fetcher.login_factory import with_tokens
from services.fetcher.ports import AccountBook
from services.fetcher.reach import ANYWHERE, MAIL_PORTS, PublicServers, Reach
from services.fetcher.store_sql import SqlCheckpoint
from shared import logs
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Bus
from shared.environment import Environment
from shared.progress import STILL_S
from shared.secrets import is_key_set, open_secret_box
from shared.service import run_service, stop_on_signals, watched
from shared.sight import Checks, Place, read_place, showing
from shared.tables import connect, require_current
from shared.tables.transactions import answers
from shared.topology import FETCHER_REQUESTS


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment."""

    amqp_url: str
    database_url: str
    accounts_file: Path | None
    reach: Reach
    metrics: Place | None
    log_level: str

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            database_url=environment.text("MAILROOM_DATABASE_URL"),
            accounts_file=Path(file) if (file := environment.text("MAILROOM_ACCOUNTS_FILE", "")) else None,
            reach=read_reach(environment),
            metrics=read_place(environment),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
        )
        environment.check()
        return settings


def read_reach(environment: Environment) -> Reach:
    """Which servers accounts of the database may name: MAILROOM_MAIL_SERVERS is anywhere (the default) or public."""
    ports = environment.text("MAILROOM_MAIL_PORTS", "")
    networks = environment.text("MAILROOM_MAIL_NETWORKS", "")
    match environment.text("MAILROOM_MAIL_SERVERS", "anywhere"):
        case "anywhere":
            return ANYWHERE
        case "public":
            try:
                return PublicServers(
                    MAIL_PORTS | {int(port) for port in ports.replace(",", " ").split()},
                    [ipaddress.ip_network(network) for network in networks.replace(",", " ").split()],
                )
            except ValueError as exc:
                environment.complain(f"MAILROOM_MAIL_PORTS or MAILROOM_MAIL_NETWORKS cannot be read: {exc}")
        case other:
            environment.complain(f"MAILROOM_MAIL_SERVERS is {other!r}; it is anywhere or public")
    return PublicServers()


def read_books(settings: Settings, engine: Engine, variables: Mapping[str, str]) -> AccountBook:
    """The accounts of the file, if there is one, and those of the database. Raises ConfigurationError.

    A key that is malformed is said at once; one that is missing only when an account needs it.
    """
    if is_key_set(variables):
        open_secret_box(variables)
    open_box = partial(open_secret_box, variables)
    database = SqlAccounts(SqlLists(engine), open_box, settings.reach, with_tokens(engine, open_box))
    file = load_accounts(settings.accounts_file, variables) if settings.accounts_file else Accounts({})
    return BothBooks(file, database)


def subscribe(
    bus: Bus,
    engine: Engine,
    accounts: AccountBook,
    wait: Callable[[float], bool],
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> None:
    """Put the fetcher behind its queue, on whatever bus; `wait(seconds)` is true as soon as the process has to stop."""
    checkpoint = SqlCheckpoint(engine)
    handler = FetchHandler(accounts, checkpoint, bus, holder=uuid.uuid4().hex, wait=wait, patience=patience)
    # a step on the wire has a deadline of its own; only what outlasts it hangs
    limits = BatchLimits(messages=1, still_s=Deadlines().step_s + STILL_S)
    bus.subscribe(FETCHER_REQUESTS.name, handler, limits, checkpoint.answers)


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("fetcher", settings.log_level)
    engine = connect(settings.database_url)
    accounts = read_books(settings, engine, os.environ)
    require_current(engine)
    bus = BrokerBus(settings.amqp_url)
    stop = stop_on_signals()
    subscribe(bus, engine, accounts, stop.wait)
    try:
        checks: Checks = {"the database": partial(answers, engine), **bus.checks}
        with showing(settings.metrics, checks, bus.stalled), watched(bus.stalled):
            bus.run(stop)
    finally:
        bus.close()
        engine.dispose()


def main() -> int:
    """The process's exit status."""
    return run_service("fetcher", serve)
