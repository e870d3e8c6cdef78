"""What senders read is the database's equal, or they are sent to the database."""

import random
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine, event, func, select, text, update

from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.policy import Standing, State
from services.ledger.ports import Change
from services.ledger.projection_redis import ProjectionUnreachable, RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import PAGE, drain_outbox, needs_rebuild, rebuild
from shared.bus import Delivery
from shared.contract import VerdictMessage
from shared.local_bus import LocalBus
from shared.suppressions import EPOCH_KEY, HIGH_KEY, READY_KEY, Suppressions, connect_redis
from shared.tables import connect
from shared.tables.ledger import address, outbox
from shared.tables.ledger import projection as epochs
from shared.tables.schema import DatabaseUnreachable
from shared.topology import LEDGER_VERDICTS, RELEASED, SUPPRESSED
from shared.wire import read_address_event, verdict_message
from tests.e2e.state import projected_in
from tests.property.ledger_model import at, outcome, verdict
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

ANN = "ann@example.com"


class Ledger:
    """The handler over a database and a Redis, and what it told."""

    def __init__(self, engine: Engine, projection: RedisProjection) -> None:
        self.engine = engine
        self.projection = projection
        self.events: list[tuple[str, str, int]] = []
        bus = LocalBus()
        for key in (SUPPRESSED, RELEASED):
            bus.listen(key, lambda message: self.events.append(self._told(read_address_event(message))))
        self.handler = VerdictHandler(SqlVerdictStore(engine), projection, bus)

    @staticmethod
    def _told(event: object) -> tuple[str, str, int]:
        return event["recipient"], event["state"], event["version"]  # type: ignore[index]

    def take(self, *verdicts: VerdictMessage) -> None:
        assert self.handler([Delivery(verdict_message(one), LEDGER_VERDICTS.name) for one in verdicts]) == []

    def keep_up(self) -> None:
        keep_up(self.engine, self.projection, self.handler)


@pytest.fixture
def ledger(engine: Engine, projection: RedisProjection) -> Ledger:
    """Filled once, and ready."""
    ledger = Ledger(engine, projection)
    ledger.keep_up()
    return ledger


def in_redis(client: redis.Redis) -> dict[str, str]:
    found, suppressed = projected_in(client)
    assert suppressed == {one for one, row in found.items() if not row.endswith(" ok")}
    return found


def in_database(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(select(address).where(address.c.version > 0)).all()
    return {row.recipient: f"{row.version} {row.soft} {row.state}" for row in rows}


def waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def age_outbox(engine: Engine) -> None:
    """As if what waits there had waited for a while."""
    with engine.begin() as connection:
        connection.execute(update(outbox).values(made_at=at(0) - timedelta(days=1)))


def mixed(count: int, seed: int, addresses: int = 50) -> list[VerdictMessage]:
    rng = random.Random(seed)
    return [
        verdict(
            f"{seed} {n}",
            outcome(
                f"u{rng.randrange(addresses)}@example.com", rng.choice(["soft", "soft", "soft", "hard"]), f"{seed} {n}"
            ),
            received_at=at(n),
        )
        for n in range(count)
    ]


class TestProjecting:
    def test_it_equals_the_database_versions_too(self, ledger: Ledger, client: redis.Redis) -> None:
        for start in range(0, 300, 60):
            ledger.take(*mixed(300, 1)[start : start + 60])
        assert in_redis(client) == in_database(ledger.engine)
        assert waiting(ledger.engine) == 0
        assert int(client.get(HIGH_KEY) or 0) == max(int(row.split()[0]) for row in in_redis(client).values())
        assert not needs_rebuild(ledger.engine, ledger.projection)

    def test_a_release_is_a_new_version_and_never_a_deletion(self, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        ledger.take(verdict("1", classifier_version=2, kind="not-bounce", verdict="ignore"))
        assert in_redis(client)[ANN].endswith(" 0 ok")
        assert [(one, state) for one, state, _ in ledger.events] == [(ANN, "bounced"), (ANN, "ok")]

    def test_the_greater_version_stays_whatever_comes_last(self, ledger: Ledger, client: redis.Redis) -> None:
        epoch = int(client.get(EPOCH_KEY) or 0)
        newer = Change(ANN, 12, Standing(State.BOUNCED, 0, True))
        for change in (newer, Change(ANN, 9, Standing())):
            assert ledger.projection.write(epoch, [change])
            assert in_redis(client) == {ANN: "12 0 bounced"}
        assert ledger.projection.write(epoch, [Change(ANN, 100, Standing(soft=4))])
        assert in_redis(client) == {ANN: "100 4 ok"}

    def test_another_epoch_is_refused(self, ledger: Ledger, client: redis.Redis) -> None:
        epoch = int(client.get(EPOCH_KEY) or 0)
        for other in (epoch - 1, epoch + 1):
            assert not ledger.projection.write(other, [Change(ANN, 12, Standing(State.BOUNCED))])
        assert in_redis(client) == {}

    def test_each_event_is_told_once(self, ledger: Ledger) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        ledger.take(verdict("1", outcome(ANN)), verdict("2", outcome(ANN, event="again"), received_at=at(-5)))
        age_outbox(ledger.engine)
        ledger.keep_up()
        assert [(one, state) for one, state, _ in ledger.events] == [(ANN, "bounced")]

    def test_an_event_that_was_undone_is_not_told_as_what_it_was(self, ledger: Ledger) -> None:
        store = SqlVerdictStore(ledger.engine)
        store.record([verdict("1", outcome(ANN))])
        store.record([verdict("1", classifier_version=2, kind="not-bounce", verdict="ignore")])
        age_outbox(ledger.engine)
        ledger.keep_up()
        assert [(one, state) for one, state, _ in ledger.events] == [(ANN, "ok")]
        assert waiting(ledger.engine) == 0

    def test_an_event_that_a_later_one_took_back_is_not_told_again(self, ledger: Ledger) -> None:
        SqlVerdictStore(ledger.engine).record([verdict("1", outcome(ANN))])
        ledger.take(verdict("1", classifier_version=2, kind="not-bounce", verdict="ignore"))
        age_outbox(ledger.engine)
        ledger.keep_up()
        assert [(one, state) for one, state, _ in ledger.events] == [(ANN, "ok")]
        assert waiting(ledger.engine) == 0


class TestNoticing:
    """Whatever happened to Redis: senders are never told "clean" wrongly, and upkeep mends it."""

    def check(self, ledger: Ledger, client: redis.Redis) -> None:
        senders = Suppressions(ledger.engine, client)
        assert needs_rebuild(ledger.engine, ledger.projection)
        assert senders.are_suppressed([ANN, "clean@example.com"]) == [True, False]
        with pytest.raises(DatabaseUnreachable, match="hold the mail"):
            Suppressions(None, client).are_suppressed([ANN])
        ledger.keep_up()
        assert not needs_rebuild(ledger.engine, ledger.projection)
        assert in_redis(client) == in_database(ledger.engine)
        assert Suppressions(None, client).are_suppressed([ANN, "clean@example.com"]) == [True, False]

    def test_a_flush(self, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        client.flushdb()
        self.check(ledger, client)

    def test_a_flush_and_a_batch_after_it(self, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        client.flushdb()
        ledger.take(verdict("2", outcome("bob@example.com")))
        self.check(ledger, client)

    def test_a_snapshot_of_an_older_process(self, ledger: Ledger, client: redis.Redis) -> None:
        snapshot = {key: client.get(key) for key in (EPOCH_KEY, HIGH_KEY)}
        ledger.take(verdict("1", outcome(ANN)))
        client.flushdb()
        client.mset({**{key: value for key, value in snapshot.items() if value}, READY_KEY: "0" * 40})
        self.check(ledger, client)

    def test_another_epoch(self, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        client.set(EPOCH_KEY, 99)
        assert needs_rebuild(ledger.engine, ledger.projection)
        ledger.keep_up()
        assert int(client.get(EPOCH_KEY) or 0) == 100
        assert in_redis(client) == in_database(ledger.engine)

    def test_a_database_that_was_restored(self, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        client.set(HIGH_KEY, 1000)
        ledger.projection.write(int(client.get(EPOCH_KEY) or 0), [Change(ANN, 1000, Standing())])
        assert needs_rebuild(ledger.engine, ledger.projection)
        ledger.keep_up()
        assert not needs_rebuild(ledger.engine, ledger.projection)
        assert in_redis(client) == in_database(ledger.engine)

    def test_a_restored_database_of_postgresql(
        self,
        postgresql: PostgreSQLServer,
        pg: Engine,
        database_url: str,
        projection: RedisProjection,
        client: redis.Redis,
    ) -> None:
        before = Ledger(pg, projection)
        before.keep_up()
        before.take(verdict("1", outcome(ANN)))
        pg.dispose()
        copy = postgresql.create_database(template=database_url.rpartition("/")[2])
        before.take(verdict("1", kind="not-bounce", verdict="ignore", classifier_version=2))
        restored = connect(copy)
        try:
            after = Ledger(restored, projection)
            assert Suppressions(None, client).are_suppressed([ANN]) == [False]
            assert needs_rebuild(restored, projection)
            after.keep_up()
            assert in_redis(client) == in_database(restored)
            assert Suppressions(None, client).are_suppressed([ANN]) == [True]
        finally:
            restored.dispose()
            postgresql.drop_database(copy)

    @pytest.mark.stops_server
    def test_a_restart(self, redis_server: RedisServer, ledger: Ledger, client: redis.Redis) -> None:
        ledger.take(verdict("1", outcome(ANN)))
        redis_server.kill()
        assert Suppressions(ledger.engine, client).are_suppressed([ANN]) == [True]
        redis_server.restart()
        eventually(client.ping, "Redis", ignoring=(redis.RedisError,))
        self.check(ledger, client)

    def test_a_redis_that_starts_anew_during_a_rebuild_is_not_declared_complete(
        self, ledger: Ledger, client: redis.Redis
    ) -> None:
        epoch = int(client.get(EPOCH_KEY) or 0)
        run_of_the_first = "f" * 40
        assert ledger.projection.finish(epoch, run_of_the_first)
        assert needs_rebuild(ledger.engine, ledger.projection)

    def test_a_rebuild_that_another_overtook_is_not_declared_complete(
        self, ledger: Ledger, client: redis.Redis
    ) -> None:
        epoch = int(client.get(EPOCH_KEY) or 0)
        run_id = ledger.projection.begin(epoch + 1)
        assert not ledger.projection.finish(epoch, run_id)
        assert client.get(READY_KEY) is None


class TestOutages:
    @pytest.mark.stops_server
    def test_redis_down_while_recording(self, redis_server: RedisServer, ledger: Ledger, client: redis.Redis) -> None:
        redis_server.kill()
        ledger.take(verdict("1", outcome(ANN)))
        assert in_database(ledger.engine)[ANN].endswith("bounced")
        assert waiting(ledger.engine) == 1
        ledger.keep_up()
        with pytest.raises(ProjectionUnreachable):
            ledger.projection.state()
        redis_server.restart()
        eventually(client.ping, "Redis", ignoring=(redis.RedisError,))
        age_outbox(ledger.engine)
        ledger.keep_up()
        assert waiting(ledger.engine) == 0
        assert in_redis(client) == in_database(ledger.engine)
        assert [(one, state) for one, state, _ in ledger.events] == [(ANN, "bounced")]

    def test_what_a_dead_process_left_behind_is_told(self, ledger: Ledger, client: redis.Redis) -> None:
        SqlVerdictStore(ledger.engine).record(mixed(1200, 5, addresses=900))
        ledger.keep_up()
        assert ledger.events == []  # it may be about to be told by whoever recorded it
        age_outbox(ledger.engine)
        ledger.keep_up()
        assert waiting(ledger.engine) == 0
        assert in_redis(client) == in_database(ledger.engine)
        suppressed = {one for one, row in in_database(ledger.engine).items() if row.endswith("bounced")}
        assert sorted(one for one, _, _ in ledger.events) == sorted(suppressed)

    def test_a_drain_that_waits_for_redis_does_not_stop_the_writers(self, engine: Engine) -> None:
        """SQLite has one writer: a drain must not be it while it talks to somebody else."""
        SqlVerdictStore(engine).record([verdict("1", outcome(ANN))])
        age_outbox(engine)

        class Recording:
            """While this stands for Redis, somebody else records."""

            def write(self, epoch: int, changes: Sequence[Change]) -> bool:
                other = connect(engine.url.render_as_string(hide_password=False))
                if engine.dialect.name == "sqlite":
                    event.listen(other, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 200"))
                SqlVerdictStore(other).record([verdict("2", outcome("bob@example.com"))])
                other.dispose()
                return True

        assert drain_outbox(engine, VerdictHandler(SqlVerdictStore(engine), Recording(), LocalBus())) == 1
        assert waiting(engine) == 1


class TestRebuilding:
    def test_while_two_writers_run(self, pg: Engine, projection: RedisProjection, client: redis.Redis) -> None:
        ledger = Ledger(pg, projection)
        ledger.keep_up()
        ledger.take(*mixed(500, 0, addresses=3000))
        errors: list[BaseException] = []

        def write(seed: int) -> None:
            try:
                mine = Ledger(pg, projection)
                history = mixed(1500, seed, addresses=3000)
                for start in range(0, len(history), 25):
                    mine.take(*history[start : start + 25])
            except BaseException as exc:  # noqa: BLE001
                errors.append(exc)

        writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
        for writer in writers:
            writer.start()
        rebuilds = 0
        while any(writer.is_alive() for writer in writers):
            rebuilds += bool(rebuild(pg, projection, is_forced=True))
        for writer in writers:
            writer.join()
        assert errors == []
        assert rebuilds > 1
        # Before anything that was refused is told again: the last rebuild and what came after it make the whole.
        refused = in_database(pg).keys() - in_redis(client).keys()
        assert refused == set()
        assert in_redis(client) == in_database(pg)
        age_outbox(pg)
        ledger.keep_up()
        assert waiting(pg) == 0
        assert in_redis(client) == in_database(pg)

    def test_two_at_once(self, engine: Engine, redis_url: str, client: redis.Redis) -> None:
        SqlVerdictStore(engine).record(mixed(2000, 3, addresses=2000))
        written: list[int] = []

        def run() -> None:
            with connect_redis(redis_url) as own:
                written.append(rebuild(engine, RedisProjection(own)))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads)
        assert sorted(written)[:3] == [0, 0, 0]
        assert in_redis(client) == in_database(engine)
        assert not needs_rebuild(engine, RedisProjection(client))

    def test_it_says_how_far_it_is_and_nobody_takes_it_for_complete_before(
        self, engine: Engine, projection: RedisProjection, client: redis.Redis
    ) -> None:
        SqlVerdictStore(engine).record(mixed(2500, 3, addresses=5000))
        said: list[tuple[int, int]] = []

        def progress(done: int, total: int) -> None:
            said.append((done, total))
            with pytest.raises(DatabaseUnreachable):
                Suppressions(None, client).are_suppressed(["u1@example.com"])

        count = rebuild(engine, projection, progress=progress)
        assert said[-1] == (count, count)
        assert len(said) == -(-count // PAGE)
        assert rebuild(engine, projection) == 0


def test_the_epoch_and_the_sequence_are_where_they_should_be(pg: Engine) -> None:
    with pg.connect() as connection:
        assert connection.execute(select(epochs.c.epoch)).scalar_one() == 1
        assert connection.execute(text("SELECT last_value FROM address_version")).scalar_one() == 1


@pytest.fixture
def senders(engine: Engine, client: redis.Redis) -> Suppressions:
    return Suppressions(engine, client)


def test_senders_may_ask_in_any_spelling_and_number(ledger: Ledger, senders: Suppressions) -> None:
    ledger.take(verdict("1", outcome(ANN)))
    asked = ["Ann@EXAMPLE.com.", '"ann"@example.com', *(f"x{n}@example.com" for n in range(2500)), ANN]
    answers = senders.are_suppressed(asked)
    assert [number for number, answer in enumerate(answers) if answer] == [0, 1, len(asked) - 1]
    assert senders.are_suppressed([]) == []
