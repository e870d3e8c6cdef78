"""The console without a socket, on PostgreSQL and on SQLite, with one of everything in it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask

from services.console.app import Settings, make_backing
from services.console.application import create_application
from services.console.backing import Backing
from services.console.people_sql import SqlPeople
from services.console.roles import GIVEN
from shared.publisher import ConfirmingPublisher
from shared.tables import connect
from tests.browser.content import fill
from tests.servers.console import PASSWORD, SECRET_KEY
from tests.servers.postgresql import Databases


class Filled(NamedTuple):
    """An application, what it works with, and the raw_id of a mail that nobody recognised."""

    app: Flask
    backing: Backing
    mail: str
    amqp_url: str


class Templates(NamedTuple):
    """Databases with one of everything and a person of each role, to be copied; and that mail."""

    sqlite: Path
    postgresql: str
    mail: str


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, postgresql: Databases) -> Iterator[Templates]:
    """Filled once."""
    file = tmp_path_factory.mktemp("template") / "mailroom.db"
    url = postgresql.create_database()
    for one in (f"sqlite:///{file}", url):
        mail = fill(one)
        engine = connect(one)
        for role in GIVEN:
            SqlPeople(engine).add(role, role, PASSWORD, "tests")
        engine.dispose()
    yield Templates(file, url, mail)
    postgresql.drop_database(url)


@pytest.fixture(params=["postgresql", "sqlite"])
def filled(
    request: pytest.FixtureRequest, tmp_path: Path, amqp_url: str, postgresql: Databases, templates: Templates
) -> Iterator[Filled]:
    """In front of a real broker that nobody consumes from."""
    if request.param == "postgresql":
        url = postgresql.create_database(template=templates.postgresql.rpartition("/")[2].partition("?")[0])
    else:
        url = f"sqlite:///{tmp_path / 'mailroom.db'}"
        shutil.copy(templates.sqlite, tmp_path / "mailroom.db")
    variables = {"MAILROOM_DATABASE_URL": url, "MAILROOM_AMQP_URL": amqp_url, "MAILROOM_SECRET_KEY": SECRET_KEY}
    engine = connect(url)
    publisher = ConfirmingPublisher(amqp_url, 5.0)
    backing = make_backing(Settings.from_env(variables), engine, publisher)
    yield Filled(create_application(backing, secret_key=SECRET_KEY), backing, templates.mail, amqp_url)
    publisher.close()
    engine.dispose()
    if request.param == "postgresql":
        postgresql.drop_database(url)
