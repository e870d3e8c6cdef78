"""A ledger's database, on PostgreSQL and on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from services.ledger.projection_redis import RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from shared.suppressions import connect_redis
from shared.tables import connect, upgrade


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a schema."""
    if request.param == "postgresql":
        engine = connect(request.getfixturevalue("database_url"))
    else:
        engine = connect(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """An empty ledger."""
    upgrade(empty_engine)
    return empty_engine


@pytest.fixture
def pg(database_url: str) -> Iterator[Engine]:
    """An empty ledger on PostgreSQL only."""
    engine = connect(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlVerdictStore:
    return SqlVerdictStore(engine)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect_redis(redis_url) as client:
        yield client


@pytest.fixture
def projection(client: redis.Redis) -> RedisProjection:
    return RedisProjection(client)
