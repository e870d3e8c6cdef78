"""The console without a socket, on PostgreSQL and on SQLite, with one of everything in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask

from services.console.app import Settings, make_backing
from services.console.application import create_application
from services.console.backing import Backing
from services.console.roles import GIVEN
from shared.publisher import ConfirmingPublisher
from shared.tables import connect
from tests.browser.content import fill
from tests.servers.console import PASSWORD, SECRET_KEY


class Filled(NamedTuple):
    """An application, what it works with, and the raw_id of a mail that nobody recognised."""

    app: Flask
    backing: Backing
    mail: str
    amqp_url: str


@pytest.fixture(params=["postgresql", "sqlite"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, amqp_url: str) -> Iterator[Filled]:
    """In front of a real broker that nobody consumes from."""
    sqlite = f"sqlite:///{tmp_path / 'mailroom.db'}"
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else sqlite
    mail = fill(url)
    variables = {"MAILROOM_DATABASE_URL": url, "MAILROOM_AMQP_URL": amqp_url, "MAILROOM_SECRET_KEY": SECRET_KEY}
    engine = connect(url)
    publisher = ConfirmingPublisher(amqp_url, 5.0)
    backing = make_backing(Settings.from_env(variables), engine, publisher)
    for role in GIVEN:
        backing.people.add(role, role, PASSWORD, "tests")
    yield Filled(create_application(backing, secret_key=SECRET_KEY), backing, mail, amqp_url)
    publisher.close()
    engine.dispose()
