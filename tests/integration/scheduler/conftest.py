"""Accounts in a database, alike on PostgreSQL and SQLite, and schedulers that put requests on a real broker."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.scheduler.scheduler import Scheduler
from services.scheduler.store_sql import SqlScheduleStore
from shared.publisher import ConfirmingPublisher
from shared.tables import connect, upgrade


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mailroom.db"
    url: str = request.getfixturevalue("database_url")
    return url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A database with the tables."""
    engine = connect(url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def new_scheduler(url: str, engine: Engine, amqp_url: str) -> Iterator[Callable[[], Scheduler]]:
    """Makes schedulers, each with connections of its own."""
    made: list[tuple[Engine, ConfirmingPublisher]] = []

    def make() -> Scheduler:
        own, publisher = connect(url), ConfirmingPublisher(amqp_url)
        made.append((own, publisher))
        return Scheduler(SqlScheduleStore(own), publisher)

    yield make
    for own, publisher in made:
        publisher.close()
        own.dispose()


@pytest.fixture
def scheduler(new_scheduler: Callable[[], Scheduler]) -> Scheduler:
    return new_scheduler()
