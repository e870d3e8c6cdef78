"""The client for senders: an answer that holds, or the mail is held; and nobody waits long for a Redis that hangs."""

import shutil
import threading
from pathlib import Path
from time import monotonic

import pytest
import redis
from sqlalchemy import Engine

from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.projection_redis import RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from shared.bus import Delivery
from shared.contract import VerdictMessage
from shared.errors import ConfigurationError, InvalidAddress
from shared.local_bus import LocalBus
from shared.suppressions import READY_KEY, Suppressions, connect_redis
from shared.tables.schema import DatabaseUnreachable
from shared.topology import LEDGER_VERDICTS
from shared.wire import verdict_message
from tests.e2e.state import projected_from, projected_in
from tests.property.ledger_model import outcome, verdict
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

ANN = "ann@example.com"
BOB = "bob@example.com"
SHORT_S = 0.2


def take(engine: Engine, projection: RedisProjection, *verdicts: VerdictMessage) -> None:
    handler = VerdictHandler(SqlVerdictStore(engine), projection, LocalBus())
    assert handler([Delivery(verdict_message(one), LEDGER_VERDICTS.name) for one in verdicts]) == []


def mend(engine: Engine, projection: RedisProjection) -> None:
    keep_up(engine, projection, VerdictHandler(SqlVerdictStore(engine), projection, LocalBus()))


@pytest.fixture
def filled(engine: Engine, projection: RedisProjection) -> Engine:
    """Ann has bounced, and Redis knows."""
    mend(engine, projection)
    take(engine, projection, verdict("1", outcome(ANN)))
    return engine


class TestAsking:
    def test_by_urls(self, filled: Engine, redis_url: str) -> None:
        database_url = filled.url.render_as_string(hide_password=False)
        for urls in ((redis_url, None), (None, database_url), (redis_url, database_url)):
            with Suppressions.from_urls(*urls) as senders:
                assert senders.are_suppressed([ANN, BOB]) == [True, False]
                assert senders.is_suppressed(ANN)
                assert not senders.is_suppressed(BOB)

    def test_without_anybody_to_ask(self) -> None:
        with pytest.raises(ConfigurationError, match="nobody to ask"):
            Suppressions.from_urls()

    def test_those_among_many_in_their_own_spelling(self, filled: Engine, client: redis.Redis) -> None:
        senders = Suppressions(filled, client)
        many = (f"x{number}@example.com" for number in range(2500))
        assert senders.suppressed_among(["Ann@Example.com.", BOB, ANN, *many]) == {"Ann@Example.com.", ANN}
        assert senders.suppressed_among(iter(())) == set()

    def test_what_is_no_address_is_not_clean(self, filled: Engine, client: redis.Redis) -> None:
        with pytest.raises(InvalidAddress, match="nonsense"):
            Suppressions(filled, client).suppressed_among([BOB, "nonsense"])

    def test_bytes_from_a_client_that_does_not_decode(self, filled: Engine, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as raw:
            assert Suppressions(None, raw).are_suppressed([ANN, BOB]) == [True, False]

    def test_many_threads_get_their_own_answers(self, filled: Engine, client: redis.Redis) -> None:
        senders = Suppressions(None, client)
        wrong: list[object] = []

        def ask(number: int) -> None:
            for turn in range(50):
                asked = [f"x{at}@example.com" for at in range(20)]
                asked[(number + turn) % 20] = ANN
                try:
                    if senders.are_suppressed(asked) != [one == ANN for one in asked]:
                        wrong.append(number)
                except Exception as exc:  # noqa: BLE001
                    wrong.append(exc)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda client: client.flushall(), "not filled"),
            (lambda client: client.set(READY_KEY, ""), "not filled"),
            (lambda client: client.set(READY_KEY, "0" * 40), "not filled"),
            (lambda client: (client.delete(READY_KEY), client.lpush(READY_KEY, "x")), "refuses"),
        ],
    )
    def test_it_says_why_the_mail_is_held(
        self, filled: Engine, client: redis.Redis, spoil: object, reason: str
    ) -> None:
        spoil(client)  # type: ignore[operator]
        with pytest.raises(DatabaseUnreachable, match=f"{reason}.*no database.*hold the mail"):
            Suppressions(None, client).are_suppressed([BOB])
        assert Suppressions(filled, client).are_suppressed([ANN, BOB]) == [True, False]


@pytest.mark.stops_server
class TestARedisThatHangs:
    def test_holds_a_sender_for_one_time_out(self, redis_server: RedisServer, filled: Engine, redis_url: str) -> None:
        senders = Suppressions(filled, connect_redis(redis_url, SHORT_S), pause_s=60)
        assert senders.are_suppressed([ANN, BOB]) == [True, False]
        redis_server.freeze()
        try:
            began = monotonic()
            answers = [senders.are_suppressed([ANN, BOB]) for _ in range(100)]
            took = monotonic() - began
        finally:
            redis_server.thaw()
        assert answers == [[True, False]] * 100
        assert took < 100 * SHORT_S / 4

    def test_holds_the_mail_where_there_is_no_database_and_answers_rightly_afterwards(
        self, redis_server: RedisServer, filled: Engine, redis_url: str
    ) -> None:
        senders = Suppressions(None, connect_redis(redis_url, SHORT_S), pause_s=0)
        redis_server.freeze()
        try:
            for _ in range(3):
                with pytest.raises(DatabaseUnreachable, match=r"does not answer.*hold the mail"):
                    senders.are_suppressed([BOB, BOB, ANN])
        finally:
            redis_server.thaw()
        # An answer that came too late belongs to nobody.
        answers = eventually(lambda: senders.are_suppressed([ANN, BOB]), "an answer", ignoring=(DatabaseUnreachable,))
        assert answers == [True, False]

    def test_the_url_may_say_how_long(self, redis_server: RedisServer, filled: Engine, redis_url: str) -> None:
        senders = Suppressions.from_urls(f"{redis_url}?socket_timeout=0.1&socket_connect_timeout=0.1", timeout_s=60)
        redis_server.freeze()
        try:
            began = monotonic()
            with pytest.raises(DatabaseUnreachable, match="does not answer"):
                senders.are_suppressed([ANN])
            assert monotonic() - began < 10
        finally:
            redis_server.thaw()

    def test_costs_the_ledger_one_time_out_and_is_told_later(
        self, redis_server: RedisServer, filled: Engine, redis_url: str, client: redis.Redis
    ) -> None:
        projection = RedisProjection(connect_redis(redis_url, SHORT_S), pause_s=60)
        redis_server.freeze()
        try:
            began = monotonic()
            for number in range(20):
                take(filled, projection, verdict(f"later {number}", outcome(f"u{number}@example.com")))
            took = monotonic() - began
        finally:
            redis_server.thaw()
        assert took < 20 * SHORT_S
        eventually(client.ping, "Redis", ignoring=(redis.RedisError,))
        mend(filled, projection)  # the upkeep finds out that it is back
        take(filled, projection, verdict("2", outcome(BOB)))
        assert Suppressions(None, client).is_suppressed(BOB)


class TestWhateverHappensToRedis:
    """Nobody is told "clean" of an address that bounced, at any moment on the way."""

    def test_while_it_is_emptied_and_filled_again_and_again(
        self, filled: Engine, redis_url: str, projection: RedisProjection, client: redis.Redis
    ) -> None:
        known = [f"u{number}@example.com" for number in range(500)]
        take(filled, projection, *(verdict(one, outcome(one)) for one in known))
        with_redis_only = Suppressions(None, client, pause_s=0)
        is_over = threading.Event()
        told: list[object] = []
        answered = 0

        def ask() -> None:
            nonlocal answered
            while not is_over.is_set():
                try:
                    answers = with_redis_only.are_suppressed(known)
                except DatabaseUnreachable:
                    continue
                except Exception as exc:  # noqa: BLE001
                    told.append(exc)
                    return
                answered += 1
                told.extend(one for one, answer in zip(known, answers, strict=True) if not answer)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            with connect_redis(redis_url) as own:
                for turn in range(10):
                    own.flushdb()
                    take(filled, projection, verdict(f"turn {turn}", outcome(f"turn{turn}@example.com")))
                    mend(filled, projection)
                    before = answered
                    eventually(lambda before=before: answered > before or told, "a sender's question answered by Redis")
        finally:
            is_over.set()
            asking.join()
        assert told == []
        assert projected_in(client) == projected_from(filled)

    @pytest.mark.stops_server
    def test_when_it_is_killed_and_wakes_with_an_old_snapshot(
        self,
        redis_server: RedisServer,
        filled: Engine,
        projection: RedisProjection,
        client: redis.Redis,
        tmp_path: Path,
    ) -> None:
        files = redis_server.directory / "appendonlydir"
        shutil.copytree(files, tmp_path / "old")
        take(filled, projection, verdict("2", outcome(BOB)))
        redis_server.kill()
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "old", files)
        redis_server.restart()
        eventually(client.ping, "Redis", ignoring=(redis.RedisError,))
        assert projected_in(client) != projected_from(filled)
        with pytest.raises(DatabaseUnreachable, match="not filled"):
            Suppressions(None, client).is_suppressed(BOB)
        assert Suppressions(filled, client).is_suppressed(BOB)
        mend(filled, projection)
        assert Suppressions(None, client).are_suppressed([ANN, BOB]) == [True, True]
        assert projected_in(client) == projected_from(filled)
