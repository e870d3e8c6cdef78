"""`mailroom up`: every service in this process, for a laptop or a small server; the composition of their compositions."""

import getpass
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Engine

from services.classifier import app as classifier
from services.classifier.own_rules import ReloadingSandbox
from services.console import app as console
from services.console.application import create_application
from services.console.links import OneTimeLink
from services.console.people import check_name
from services.console.people_sql import SqlPeople
from services.console.roles import Role
from services.fetcher import app as fetcher
from services.fetcher.asking import ask_again
from services.ledger import app as ledger
from services.ledger.projection_redis import connect_projection
from services.ledger.waiting_sql import watching as ledger_waiting
from services.scheduler import app as scheduler
from services.scheduler.passes_sql import read_unended
from shared.broker import BrokerBus
from shared.bus import Bus
from shared.errors import ConfigurationError
from shared.publisher import ConfirmingPublisher
from shared.service import repeating
from shared.sight import showing
from shared.tables.transactions import answers
from shared.threaded_bus import ThreadedBus
from shared.topology import FETCHER_REQUESTS

NO_BROKER: Final = "amqp://in.this.process"
ANYBODY: Final = "administrator"


@dataclass(frozen=True, slots=True)
class Settings:
    """Those of all services; each reads the same environment."""

    console: console.Settings
    fetcher: fetcher.Settings
    classifier: classifier.Settings
    ledger: ledger.Settings
    scheduler: scheduler.Settings
    variables: Mapping[str, str]

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> "Settings":
        """Without MAILROOM_AMQP_URL nothing but the database is needed. Raises ConfigurationError."""
        all_of_them = {"MAILROOM_AMQP_URL": NO_BROKER} | {name: text for name, text in variables.items() if text}
        return cls(
            console.Settings.from_env(all_of_them),
            fetcher.Settings.from_env(all_of_them),
            classifier.Settings.from_env(all_of_them),
            ledger.Settings.from_env(all_of_them),
            scheduler.Settings.from_env(all_of_them),
            all_of_them,
        )

    @property
    def has_broker(self) -> bool:
        """Whether messages go through RabbitMQ, also from and to other processes."""
        return self.console.amqp_url != NO_BROKER


def run(settings: Settings, engine: Engine, stop: threading.Event, say: Callable[[str, str], None]) -> None:
    """Until `stop`. `say` is told the link that logs in, and whom, once the console listens. Raises ConfigurationError.

    Without a broker the requests to fetch wait in this process. What of them is lost when it ends is asked for again by
    the scheduler, or at the next start.
    """
    redis_url = settings.console.redis_url
    projection = connect_projection(redis_url) if redis_url else None
    link = OneTimeLink(_person(SqlPeople(engine)))
    with ExitStack() as ending:
        bus: BrokerBus | ThreadedBus
        publisher: ConfirmingPublisher | ThreadedBus
        if settings.has_broker:
            bus = ending.enter_context(closing(BrokerBus(settings.console.amqp_url)))
            publisher = ending.enter_context(
                closing(ConfirmingPublisher(settings.console.amqp_url, console.PATIENCE_S))
            )
            depths = None
        else:
            bus = publisher = ThreadedBus([FETCHER_REQUESTS.name])
            depths = bus.depths
        handler = ledger.subscribe(bus, engine, projection, settings.ledger.batch)
        sandbox = ending.enter_context(closing(ReloadingSandbox(settings.classifier.rules_dir)))
        classifier.subscribe(bus, sandbox, settings.classifier.batch)
        fetcher.subscribe(bus, engine, fetcher.read_books(settings.fetcher, engine, settings.variables), stop.wait)
        backing = console.make_backing(settings.console, engine, publisher, queue_depths=depths, link=link)
        application = create_application(backing, secret_key=settings.console.secret_key)
        ending.enter_context(ledger.keeping_up(stop, engine, projection, handler, settings.ledger.keep_mails))
        if not settings.has_broker:
            _go_on(engine, bus)
        scheduling = partial(scheduler.run, settings.scheduler, engine, publisher, stop)
        ending.enter_context(repeating("scheduler", scheduling, settings.scheduler.pass_s, stop))
        port = ending.enter_context(console.serving(application, console.HOST, settings.console.port))
        checks = {"the database": partial(answers, engine)}
        ending.enter_context(ledger_waiting(engine))
        ending.enter_context(showing(settings.console.metrics, checks))
        say(f"http://{console.HOST}:{port}/login/{link.token}", link.name)
        bus.run(stop)


def _person(people: SqlPeople) -> str:
    """Whose machine this is: an administrator of the console, made at the first start with a password that nobody knows."""
    try:
        name = getpass.getuser()
        check_name(name)
    except (OSError, KeyError, ConfigurationError):  # no login name, or one that is none here
        name = ANYBODY
    found = people.find(name)
    if found is None:
        people.add(name, Role.ADMINISTRATOR, secrets.token_urlsafe(32), "mailroom up")
    elif not found.is_active:
        raise ConfigurationError(
            f"the user {name!r} of the console is shut out: `mailroom users edit {name} --let-in` lets it in again"
        )
    return name


def _go_on(engine: Engine, bus: Bus) -> None:
    """With what was being fetched when the last such process ended."""
    for run_id, account in read_unended(engine):
        ask_again(bus, account, run_id)
