"""The real servers as fixtures. Each is started by the first test that asks for it, and ends with the run.

A test asks for what it needs: `amqp_url`, `database_url`, `redis_url` and `mailbox` are empty and its own. One that stops
or kills a server asks for the server itself too, and is marked `stops_server`: it cannot apply to a server that was given.
"""

import itertools
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import pytest
import structlog

from tests.servers import choosing, dovecot, postgresql, rabbitmq, redis

S = TypeVar("S")

# Which fixture a given server stands behind.
GIVEN_AS = {rabbitmq.VARIABLE: "rabbitmq", postgresql.VARIABLE: "postgresql", redis.VARIABLE: "redis_server"}

_mailbox_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in the background like that, and whatever is started from here would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "stops_server: stops or kills a server; not collected where one is given")
    config.addinivalue_line("markers", "long: needs no server, but a while; `make check` leaves it to `make test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    given = {fixture for variable, fixture in GIVEN_AS.items() if choosing.given(variable)}
    stopping = [
        item
        for item in items
        if item.get_closest_marker("stops_server") and given & set(getattr(item, "fixturenames", ()))
    ]
    if stopping:
        config.hook.pytest_deselected(items=stopping)
        items[:] = [item for item in items if item not in stopping]


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A command that ran in this process says what is logged: for that test only."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", name="rabbitmq")
def rabbitmq_(pytestconfig: pytest.Config) -> Iterator[rabbitmq.RabbitMQServer | rabbitmq.GivenRabbitMQ]:
    """The broker: `url`, `fresh_url()`; a private one also `stop()`, `kill()`, `restart()`, `freeze()`, `thaw()`."""
    yield from _serve(pytestconfig, rabbitmq.given_or_started())


@pytest.fixture(scope="session", name="postgresql")
def postgresql_(pytestconfig: pytest.Config) -> Iterator[postgresql.Databases]:
    """The database server: `url`, `create_database()`, `drop_database()`; a private one can be stopped and killed."""
    yield from _serve(pytestconfig, postgresql.given_or_started())


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[redis.RedisServer | redis.GivenRedis]:
    """Redis: `url`, `fresh_url()`; a private one can be stopped and killed."""
    yield from _serve(pytestconfig, redis.given_or_started())


@pytest.fixture(scope="session", name="dovecot")
def dovecot_(pytestconfig: pytest.Config) -> Iterator[dovecot.DovecotServer]:
    """The mail server: ports, `ca_file`, `add_user()`, `deliver()`, `mails()`; always a private one."""
    yield from _serve(pytestconfig, dovecot.start())


def _serve(config: pytest.Config, server: AbstractContextManager[S]) -> Iterator[S]:
    capture = config.pluginmanager.getplugin("capturemanager")
    with ExitStack() as stack:
        # What is being installed is told at once, on the terminal.
        with capture.global_and_fixture_disabled():
            started = stack.enter_context(server)
        yield started


@pytest.fixture
def amqp_url(rabbitmq: rabbitmq.RabbitMQServer | rabbitmq.GivenRabbitMQ) -> Iterator[str]:
    """An empty virtual host."""
    url = rabbitmq.fresh_url()
    yield url
    rabbitmq.give_back(url)


@pytest.fixture
def database_url(postgresql: postgresql.Databases) -> Iterator[str]:
    """An empty PostgreSQL database (`postgresql+psycopg://…`), dropped after the test."""
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(url)


@pytest.fixture
def redis_url(redis_server: redis.RedisServer | redis.GivenRedis) -> str:
    """An empty logical database."""
    return redis_server.fresh_url()


@pytest.fixture
def mailbox(dovecot: dovecot.DovecotServer) -> dovecot.Mailbox:
    """An empty mailbox of a new user of the mail server."""
    return dovecot.mailbox(f"bounces{next(_mailbox_numbers)}")
