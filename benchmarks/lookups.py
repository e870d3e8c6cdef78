"""Redis: look-ups of senders, filling it anew while traffic runs, and what a million bounced addresses take there.

The floor of the look-ups is redis-py's SMISMEMBER of the same addresses as they are.
"""

import multiprocessing
import random
from multiprocessing.synchronize import Event
from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import Engine, func, select, text

from benchmarks.results import Bound, Row, race
from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.projection_redis import connect_projection
from services.ledger.reconcile import compare_projection
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import rebuild
from shared.bus import Delivery
from shared.local_bus import LocalBus
from shared.suppressions import READY_KEY, SUPPRESSED_KEY, Suppressions, connect_redis
from shared.tables import connect, upgrade
from shared.tables.ledger import outbox
from shared.topology import LEDGER_VERDICTS
from shared.wire import verdict_message
from tests.property.ledger_model import outcome, verdict
from tests.servers import postgresql, redis

ADDRESSES = 1_000_000
ASKED = 1000
BATCH = 200
_NAMES = ("anna", "bob", "christine", "d.miller", "eva_smith")
_HOSTS = ("example.com", "mail.example.net", "example.org", "posteo.example")


def measure(addresses: int = ADDRESSES) -> list[Row]:
    """Look-ups a second, seconds of a rebuild, differences after it, and megabytes."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with redis.start() as cache, postgresql.start() as database:
        return [_look_ups(cache.fresh_url()), *_rebuild(database.create_database(), cache.fresh_url(), addresses)]


def _look_ups(redis_url: str) -> Row:
    chance = random.Random(5)
    asked = [f"{chance.choice(_NAMES)}.{chance.randrange(10**6)}@{chance.choice(_HOSTS)}" for _ in range(ASKED)]
    with connect_redis(redis_url) as client:
        client.sadd(SUPPRESSED_KEY, *asked[::2])
        client.set(READY_KEY, str(client.info("server")["run_id"]))
        senders = Suppressions(None, client)

        def plain() -> int:
            for _ in range(50):
                client.smismember(SUPPRESSED_KEY, asked)
            return 50 * ASKED

        def ours() -> int:
            for _ in range(50):
                senders.are_suppressed(asked)
            return 50 * ASKED

        rates = race({"plain": plain, "ours": ours}, clock=perf_counter)
    return Row("look-ups by the thousand", rates["ours"], "addresses/s", rates["plain"], 0.5)


def _rebuild(database_url: str, redis_url: str, addresses: int) -> list[Row]:
    engine = connect(database_url)
    upgrade(engine)
    _fill(engine, addresses)
    projection = connect_projection(redis_url)
    projection.begin(1)
    processes = multiprocessing.get_context("spawn")
    is_over, is_running = processes.Event(), processes.Event()
    traffic = processes.Process(target=_take_traffic, args=(database_url, redis_url, is_running, is_over))
    traffic.start()
    is_running.wait()
    began = perf_counter()
    rebuild(engine, projection, is_forced=True)
    took = perf_counter() - began
    is_over.set()
    traffic.join()
    _drain(engine, redis_url)
    differences = compare_projection(engine, projection).different
    with connect_redis(redis_url) as client:
        used = int(client.info("memory")["used_memory"])
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM address WHERE version > 0")).scalar_one()
    engine.dispose()
    millions = count / 1_000_000
    return [
        Row("rebuild of a million addresses under traffic", took / millions, "s", goal=60, bound=Bound.MOST_VALUE),
        Row("differences after it", differences, "addresses", goal=0, bound=Bound.MOST_VALUE),
        Row("Redis for a million bounced addresses", used / millions / 1e6, "MB", goal=160, bound=Bound.MOST_VALUE),
    ]


def _fill(engine: Engine, addresses: int) -> None:
    """Bounced addresses, without their reports: what a rebuild reads."""
    names, hosts = ("ARRAY[" + ",".join(f"'{one}'" for one in words) + "]" for words in (_NAMES, _HOSTS))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO address (recipient, state, soft, hard, reason, since, event_id, version, changed_at) "
                f"SELECT ({names})[1 + n % 5] || '.' || n || '@' || ({hosts})[1 + n % 4], 'bounced', 0, true, "
                "'user-unknown', now(), md5(n::text) || md5(n::text), nextval('address_version'), now() "
                "FROM generate_series(1, :addresses) AS n"
            ),
            {"addresses": addresses},
        )


def _take_traffic(database_url: str, redis_url: str, is_running: Event, is_over: Event) -> None:
    """A ledger at work until told to stop."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    engine = connect(database_url)
    handler = VerdictHandler(SqlVerdictStore(engine), connect_projection(redis_url), LocalBus())
    number = 0
    while not is_over.is_set():
        handler([_delivery(number + one) for one in range(BATCH)])
        number += BATCH
        is_running.set()
    engine.dispose()


def _delivery(number: int) -> Delivery:
    recipient = f"reader{number % 20_000}@example.com"
    return Delivery(
        verdict_message(verdict(str(number), outcome(recipient, "soft", str(number)))), LEDGER_VERDICTS.name
    )


def _drain(engine: Engine, redis_url: str) -> None:
    """Tell what the traffic could not tell while the epoch changed."""
    projection: Any = connect_projection(redis_url)
    handler = VerdictHandler(SqlVerdictStore(engine), projection, LocalBus())
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET made_at = made_at - interval '1 day'"))
    keep_up(engine, projection, handler)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(outbox)).scalar_one() == 0
