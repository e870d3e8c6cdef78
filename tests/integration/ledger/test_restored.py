"""A database restored from an older state under ledgers that go on: noticed by the first batch, however fast the others."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine

from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.projection_redis import RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import needs_rebuild
from shared.bus import Delivery
from shared.contract import VerdictMessage
from shared.local_bus import LocalBus
from shared.suppressions import Suppressions
from shared.tables import connect
from shared.topology import LEDGER_VERDICTS
from shared.wire import verdict_message
from tests.e2e.state import projected_from, projected_in
from tests.property.ledger_model import outcome, verdict
from tests.servers.postgresql import PostgreSQLServer

ANN = "ann@example.com"
BOB = "bob@example.com"


class Ledger:
    """A handler that goes on."""

    def __init__(self, engine: Engine, projection: RedisProjection) -> None:
        self.engine = engine
        self.projection = projection
        self.handler = VerdictHandler(SqlVerdictStore(engine), projection, LocalBus())

    def take(self, *verdicts: VerdictMessage) -> None:
        assert self.handler([Delivery(verdict_message(one), LEDGER_VERDICTS.name) for one in verdicts]) == []

    def keep_up(self) -> None:
        keep_up(self.engine, self.projection, self.handler)


@pytest.fixture
def back_up(engine: Engine, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Copies the database as it is now; what it will be restored to."""
    copies: list[Engine] = []

    def copy() -> Engine:
        engine.dispose()
        if engine.dialect.name == "sqlite":
            with sqlite3.connect(str(engine.url.database)) as source, sqlite3.connect(tmp_path / "copy.db") as target:
                source.backup(target)
            source.close()
            target.close()
            copies.append(connect(f"sqlite:///{tmp_path / 'copy.db'}"))
        else:
            server: PostgreSQLServer = request.getfixturevalue("postgresql")
            copies.append(connect(server.create_database(template=str(engine.url.database))))
        return copies[-1]

    yield copy
    for one in copies:
        one.dispose()
        if one.dialect.name == "postgresql":
            server = request.getfixturevalue("postgresql")
            server.drop_database(one.url.render_as_string(hide_password=False))


def test_new_versions_do_not_hide_it(
    engine: Engine, projection: RedisProjection, client: redis.Redis, back_up: Callable[[], Engine]
) -> None:
    before = Ledger(engine, projection)
    before.keep_up()
    before.take(verdict("1", outcome(ANN)))
    restored = back_up()
    before.take(verdict("1", kind="not-bounce", verdict="ignore", classifier_version=2))
    before.take(verdict("2", outcome(BOB)))
    assert Suppressions(None, client).are_suppressed([ANN, BOB]) == [False, True]
    # Within the second in which nobody looks, more versions are drawn than were lost.
    after = Ledger(restored, projection)
    for number in range(20):
        after.take(verdict(f"new {number}", outcome(f"u{number}@example.com")))
    assert needs_rebuild(restored, projection)
    assert Suppressions(restored, client).are_suppressed([ANN, BOB]) == [True, False]
    after.keep_up()
    assert projected_in(client) == projected_from(restored)
    assert Suppressions(None, client).are_suppressed([ANN, BOB]) == [True, False]


def test_ledgers_that_meet_are_no_restored_database(
    engine: Engine, projection: RedisProjection, client: redis.Redis
) -> None:
    one, other = Ledger(engine, projection), Ledger(engine, projection)
    one.keep_up()
    ready = client.get("mailroom:ready")
    for number in range(10):
        one.take(verdict(f"one {number}", outcome(f"u{number}@example.com")))
        other.take(verdict(f"other {number}", outcome(f"u{number}@example.com", event=f"other {number}")))
    one.take(verdict("one 1", outcome("u1@example.com")))
    assert client.get("mailroom:ready") == ready
    assert not needs_rebuild(engine, projection)
    assert projected_in(client) == projected_from(engine)
