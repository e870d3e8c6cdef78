"""Redis against the database, and runs against what became of their mails: differences are found, and nothing else is."""

import threading
from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import Engine, delete, insert

from services.cli import main
from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.policy import Standing, State
from services.ledger.ports import Change
from services.ledger.projection_redis import RedisProjection
from services.ledger.reconcile import Kind, compare_projection
from services.ledger.reconcile_runs import balance_runs, missing_mails
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import rebuild
from shared.bus import Delivery
from shared.contract import VerdictMessage
from shared.local_bus import LocalBus
from shared.suppressions import EPOCH_KEY, HIGH_KEY, READY_KEY, SUPPRESSED_KEY
from shared.tables.fetcher import found
from shared.tables.ledger import dead_letter, outbox
from shared.tables.transactions import now_of, transaction
from shared.topology import LEDGER_VERDICTS
from shared.wire import verdict_message
from tests.e2e.state import projected_from, projected_in
from tests.property.ledger_model import outcome, verdict

ANN = "ann@example.com"
BOB = "bob@example.com"
EVE = "eve@example.com"


def handler_of(engine: Engine, projection: RedisProjection) -> VerdictHandler:
    return VerdictHandler(SqlVerdictStore(engine), projection, LocalBus())


def deliveries(*verdicts: VerdictMessage) -> list[Delivery]:
    return [Delivery(verdict_message(one), LEDGER_VERDICTS.name) for one in verdicts]


@pytest.fixture
def filled(engine: Engine, projection: RedisProjection) -> Engine:
    """Ann and 20 others have bounced, Bob once softly; Redis is equal."""
    handler = handler_of(engine, projection)
    keep_up(engine, projection, handler)
    handler(deliveries(verdict("1", outcome(ANN)), verdict("2", outcome(BOB, "soft"))))
    handler(deliveries(*(verdict(f"u{n}", outcome(f"u{n}@example.com")) for n in range(20))))
    return engine


def epoch_of(client: redis.Redis) -> int:
    return int(client.get(EPOCH_KEY) or 0)


def forget(client: redis.Redis, recipient: str) -> None:
    for key in client.scan_iter("mailroom:address:*"):
        client.hdel(key, recipient)
    client.srem(SUPPRESSED_KEY, recipient)


def lose_a_write(engine: Engine, client: redis.Redis) -> None:
    """Committed, taken out of the outbox, and never written."""
    SqlVerdictStore(engine).record([verdict("lost", outcome(EVE))])
    with engine.begin() as connection:
        connection.execute(delete(outbox))


SPOILED: list[tuple[str, Callable[[Engine, redis.Redis], object], dict[Kind, int], set[str]]] = [
    ("a write that was lost", lose_a_write, {Kind.BEHIND: 1}, {EVE}),
    ("an address that Redis lost", lambda _, client: forget(client, ANN), {Kind.BEHIND: 1}, {ANN}),
    (
        "the set without a member",
        lambda _, client: client.srem(SUPPRESSED_KEY, ANN),
        {Kind.OTHER: 1},
        {ANN},
    ),
    (
        "the set with a stranger",
        lambda _, client: client.sadd(SUPPRESSED_KEY, "nobody@example.com"),
        {Kind.OTHER: 1},
        {"nobody@example.com"},
    ),
    (
        "a version of the future",
        lambda _, client: RedisProjection(client).write(epoch_of(client), [Change(BOB, 900, Standing(State.BOUNCED))]),
        {Kind.AHEAD: 1, Kind.HIGH: 1},
        {BOB},
    ),
    (
        "an address that the database does not know",
        lambda _, client: RedisProjection(client).write(epoch_of(client), [Change(EVE, 3, Standing())]),
        {Kind.AHEAD: 1},
        {EVE},
    ),
    ("another epoch", lambda _, client: client.set(EPOCH_KEY, 77), {Kind.EPOCH: 1}, set()),
    ("not ready", lambda _, client: client.delete(READY_KEY), {Kind.READY: 1}, set()),
    ("emptied", lambda _, client: client.flushdb(), {Kind.EPOCH: 1, Kind.READY: 1}, set()),
    ("too high", lambda _, client: client.set(HIGH_KEY, 10**6), {Kind.HIGH: 1}, set()),
]


class TestComparingRedis:
    def test_nothing_differs(self, filled: Engine, projection: RedisProjection) -> None:
        result = compare_projection(filled, projection)
        assert (result.compared, result.waiting, result.counts, result.examples) == (22, 0, {}, {})

    def test_what_the_outbox_remembers_is_on_its_way(self, filled: Engine, projection: RedisProjection) -> None:
        SqlVerdictStore(filled).record([verdict("late", outcome(EVE)), verdict("x", outcome(BOB, "soft", "x"))])
        result = compare_projection(filled, projection)
        assert (result.different, result.waiting) == (0, 2)

    @pytest.mark.parametrize(
        ("spoil", "counts", "examples"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED]
    )
    def test_what_differs_is_found_and_mended(
        self,
        filled: Engine,
        projection: RedisProjection,
        client: redis.Redis,
        spoil: Callable[[Engine, redis.Redis], object],
        counts: dict[Kind, int],
        examples: set[str],
    ) -> None:
        spoil(filled, client)
        result = compare_projection(filled, projection)
        assert result.counts == counts
        assert result.examples.keys() == examples
        assert result.mended == 0
        mended = compare_projection(filled, projection, mends=True)
        assert mended.counts == counts
        assert mended.mended == mended.different
        assert compare_projection(filled, projection).different == 0
        assert projected_in(client) == projected_from(filled)

    def test_what_is_merely_behind_needs_no_rebuild(
        self, filled: Engine, projection: RedisProjection, client: redis.Redis
    ) -> None:
        epoch = epoch_of(client)
        lose_a_write(filled, client)
        assert compare_projection(filled, projection, mends=True).mended == 1
        assert epoch_of(client) == epoch

    def test_traffic_is_no_difference(self, filled: Engine, projection: RedisProjection) -> None:
        is_over = threading.Event()
        errors: list[BaseException] = []

        def write() -> None:
            handler = handler_of(filled, projection)
            number = 0
            try:
                while not is_over.is_set():
                    names = [f"u{(number + n) % 20}@example.com" for n in range(5)]
                    rows = [
                        verdict(f"t{number} {n}", outcome(one, "soft", f"t{number}")) for n, one in enumerate(names)
                    ]
                    handler(deliveries(*rows))
                    number += 5
            except BaseException as exc:  # noqa: BLE001
                errors.append(exc)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            results = [compare_projection(filled, projection) for _ in range(30)]
        finally:
            is_over.set()
            writer.join()
        assert errors == []
        assert [result.counts for result in results] == [{}] * 30

    def test_a_rebuild_in_between_is_no_difference(self, filled: Engine, projection: RedisProjection) -> None:
        turns = iter(range(1))

        def interrupt(_: int) -> None:
            for _turn in turns:
                rebuild(filled, projection, is_forced=True)

        assert compare_projection(filled, projection, progress=interrupt).different == 0


class TestBalancingRuns:
    def find(self, engine: Engine, uid: str, raw_id: str | None, *, hours_ago: float = 0, run_id: str = "run") -> None:
        with transaction(engine) as connection:
            row = {
                "account": "weekly", "folder": "INBOX", "uidvalidity": 1, "uid": uid, "run_id": run_id, "raw_id": raw_id,
                "found_at": now_of(connection) - timedelta(hours=hours_ago), "size_bytes": 1, "truncated": False,
                "attempts": 0,
            }  # fmt: skip
            connection.execute(insert(found).values(row))

    def bury(self, engine: Engine, raw_id: str, state: str) -> None:
        with transaction(engine) as connection:
            now = now_of(connection)
            row = {
                "letter_id": raw_id, "queue": "q", "reason": "r", "state": state, "attempts": 1, "first_failed_at": now,
                "last_failed_at": now, "raw_id": raw_id, "content_type": "", "type": "", "headers": "{}", "body": b"",
            }  # fmt: skip
            connection.execute(insert(dead_letter).values(row))

    def test_every_mail_is_in_one_count(self, engine: Engine) -> None:
        mine, others = verdict("1", outcome(ANN), run_id="run"), verdict("2", outcome(BOB), run_id="other")
        SqlVerdictStore(engine).record([mine, others])
        self.find(engine, "1", mine["raw_id"], hours_ago=9)
        self.find(engine, "2", others["raw_id"], hours_ago=9)
        for number, state in enumerate(("dead", "discarded", "replayed")):
            self.bury(engine, state[:8] * 8, state)
            self.find(engine, f"3{number}", state[:8] * 8, hours_ago=9)
        self.find(engine, "4", None, hours_ago=9)
        self.find(engine, "5", "5" * 64)
        self.find(engine, "6", "6" * 64, hours_ago=9)
        (run,) = balance_runs(engine)
        assert (run.run_id, run.account) == ("run", "weekly")
        counts = (run.recorded, run.elsewhere, run.dead, run.unread, run.waiting, run.missing)
        assert counts == (1, 1, 2, 1, 1, 2)
        assert missing_mails(engine) == [("run", "32"), ("run", "6")]
        assert missing_mails(engine, timedelta(hours=10)) == []


class TestTheCommand:
    def test_it_tells_and_mends(self, filled: Engine, redis_url: str, client: redis.Redis) -> None:
        runner = CliRunner(env={
            "MAILROOM_DATABASE_URL": filled.url.render_as_string(hide_password=False), "MAILROOM_REDIS_URL": redis_url,
        })  # fmt: skip
        forget(client, ANN)
        told = runner.invoke(main, ["reconcile"])
        assert told.exit_code == 1
        assert ANN in told.stdout
        told = runner.invoke(main, ["reconcile", "--json", "--mend"])
        assert told.exit_code == 0
        redis_said = orjson.loads(told.stdout)["redis"]
        assert (redis_said["different"], redis_said["mended"], redis_said["examples"]) == (1, 1, {ANN: "behind"})
        told = runner.invoke(main, ["reconcile", "--json"])
        assert told.exit_code == 0
        assert orjson.loads(told.stdout)["redis"]["different"] == 0
        assert client.sismember(SUPPRESSED_KEY, ANN)

    def test_a_missing_mail_is_told(self, filled: Engine) -> None:
        TestBalancingRuns().find(filled, "7", "7" * 64, hours_ago=2)
        runner = CliRunner(env={"MAILROOM_DATABASE_URL": filled.url.render_as_string(hide_password=False)})
        told = runner.invoke(main, ["reconcile"])
        assert told.exit_code == 1
        assert "missing: mail 7 of run run" in told.stdout
        assert runner.invoke(main, ["reconcile", "--late-after", "180"]).exit_code == 0
