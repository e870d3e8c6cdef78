"""The console as a server of this process: the real application over waitress, on a free port."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.console.app import Settings, make_backing, serving
from services.console.application import create_application
from services.console.backing import Backing
from services.console.roles import Role
from shared.publisher import ConfirmingPublisher
from shared.tables import connect, upgrade

SECRET_KEY = "dGhlIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVzISE="
PASSWORD = "correct horse battery"
NOBODY = "amqp://guest:guest@127.0.0.1:9/"


@dataclass(frozen=True)
class Console:
    """A running one, with a user for each role named like it; all have the same password."""

    url: str
    backing: Backing


@contextmanager
def serve(
    database_url: str, *, amqp_url: str = NOBODY, redis_url: str = "", is_inner_allowed: bool = True
) -> Iterator[Console]:
    """Migrates the database. Without a broker, what has to be published says that it is away."""
    settings = Settings.from_env(
        {
            "MAILROOM_DATABASE_URL": database_url,
            "MAILROOM_AMQP_URL": amqp_url,
            "MAILROOM_REDIS_URL": redis_url,
            "MAILROOM_SECRET_KEY": SECRET_KEY,
            "MAILROOM_CONSOLE_INNER_SERVERS": "1" if is_inner_allowed else "0",
        }
    )
    engine = connect(database_url)
    upgrade(engine)
    publisher = ConfirmingPublisher(amqp_url, 2.0)
    backing = make_backing(settings, engine, publisher)
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR):
        if backing.people.find(role) is None:
            backing.people.add(role, role, PASSWORD, "the tests")
    application = create_application(backing, secret_key=SECRET_KEY)
    try:
        with serving(application, "127.0.0.1", 0) as port:
            yield Console(f"http://127.0.0.1:{port}", backing)
    finally:
        publisher.close()
        engine.dispose()
