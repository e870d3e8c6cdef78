"""May this address be mailed? The one question that senders ask, answered from Redis or from the database.

Redis answers only while it is known to be complete: `mailroom:ready` names the very Redis process that a rebuild filled.
When it does not, the database answers. Nobody is ever told "clean" for want of an answer.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Self

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.addresses import normalise_addresses
from shared.breaker import Breaker
from shared.errors import ConfigurationError
from shared.tables import connect
from shared.tables.ledger import address
from shared.tables.schema import DatabaseUnreachable, in_one_line

SUPPRESSED_KEY: Final = "mailroom:suppressed"
ADDRESS_KEY: Final = "mailroom:address"
EPOCH_KEY: Final = "mailroom:epoch"
HIGH_KEY: Final = "mailroom:high"
READY_KEY: Final = "mailroom:ready"

REDIS_TIMEOUT_S: Final = 0.5
REDIS_PAUSE_S: Final = 5.0

_CHUNK: Final = 1000


class Suppressions:
    """Look-ups for senders. Thread-safe; one for a whole process. A context manager.

    A Redis that does not answer in its time-out is left alone for `pause_s` seconds: the database answers meanwhile.
    """

    def __init__(
        self, engine: Engine | None, client: redis.Redis | None = None, *, pause_s: float = REDIS_PAUSE_S
    ) -> None:
        self._engine = engine
        self._redis = client
        self._breaker = Breaker(pause_s)

    @classmethod
    def from_urls(
        cls,
        redis_url: str | None = None,
        database_url: str | None = None,
        *,
        timeout_s: float = REDIS_TIMEOUT_S,
        pause_s: float = REDIS_PAUSE_S,
    ) -> Self:
        """With Redis, with the database, or with both: Redis first. No connection is made yet.

        Raises ConfigurationError for an URL that cannot be read, and without any.
        """
        if not redis_url and not database_url:
            raise ConfigurationError("nobody to ask: give the URL of Redis, of the database, or of both")
        engine = connect(database_url, must_exist=True) if database_url else None
        return cls(engine, connect_redis(redis_url, timeout_s) if redis_url else None, pause_s=pause_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to Redis and to the database."""
        if self._redis is not None:
            self._redis.close()
        if self._engine is not None:
            self._engine.dispose()

    def is_suppressed(self, one: str) -> bool:
        """Whether the address must not be mailed. Raises as `are_suppressed`."""
        return self.are_suppressed([one])[0]

    def are_suppressed(self, addresses: Sequence[str]) -> list[bool]:
        """For each address, in order, whether it must not be mailed; addresses are normalised first.

        Raises InvalidAddress, and DatabaseUnreachable when nobody can tell: hold the mail then.
        """
        normalised = normalise_addresses(addresses)
        answers: list[bool] = []
        for start in range(0, len(normalised), _CHUNK):
            answers += self._ask(normalised[start : start + _CHUNK])
        return answers

    def suppressed_among(self, addresses: Iterable[str]) -> set[str]:
        """Those that must not be mailed, in the spelling in which they were given. Raises as `are_suppressed`."""
        asked = list(addresses)
        return {one for one, answer in zip(asked, self.are_suppressed(asked), strict=True) if answer}

    def _ask(self, chunk: list[str]) -> list[bool]:
        try:
            return self._ask_redis(chunk)
        except _CannotTell as exc:
            if self._engine is None:
                raise DatabaseUnreachable(f"{exc}, and no database is configured: hold the mail") from exc
            return self._ask_database(self._engine, chunk)

    def _ask_redis(self, chunk: list[str]) -> list[bool]:
        """Raises _CannotTell when Redis is away or not known to be complete."""
        if self._redis is None:
            raise _CannotTell("no Redis is configured")
        if not self._breaker.allows():
            raise _CannotTell("Redis did not answer a moment ago")
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                ask_for_run_id(pipe)
                pipe.get(READY_KEY)
                pipe.smismember(SUPPRESSED_KEY, chunk)
                info, ready, members = pipe.execute()
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            self._breaker.failed()
            raise _CannotTell(f"Redis does not answer ({exc})") from exc
        except redis.RedisError as exc:
            raise _CannotTell(f"Redis refuses to answer ({exc})") from exc
        self._breaker.succeeded()
        if not is_ready(info, ready):
            raise _CannotTell("Redis is not filled (yet): a rebuild is due, or under way")
        return list(map(bool, members))

    @staticmethod
    def _ask_database(engine: Engine, chunk: list[str]) -> list[bool]:
        suppressed = select(address.c.recipient).where(address.c.recipient.in_(chunk), address.c.state != "ok")
        try:
            with engine.execution_options(sqlite_read_only=True).begin() as connection:
                found = set(connection.execute(suppressed).scalars())
        except (DBAPIError, PoolTimeout) as exc:
            raise DatabaseUnreachable(
                f"the database does not answer: {in_one_line(getattr(exc, 'orig', exc))}"
            ) from exc
        return [one in found for one in chunk]


class _CannotTell(Exception):
    """Redis gave no answer that counts; the text says why."""


def ask_for_run_id(pipe: Pipeline) -> None:
    """Queue INFO server; `run_id_of` reads the answer. Written as one word: redis-py would parse all that it knows by two."""
    pipe.execute_command("INFO SERVER")  # type: ignore[no-untyped-call]


def run_id_of(info: bytes | str) -> str:
    """The name of this life of a Redis process, from what it answered to INFO server."""
    text = info.decode() if isinstance(info, bytes) else info
    return text.partition("run_id:")[2].partition("\r\n")[0]


def is_ready(info: bytes | str, ready: bytes | str | None) -> bool:
    """Whether the ready mark was set in the life of this Redis process: an old snapshot carries an older one's."""
    text = ready.decode() if isinstance(ready, bytes) else ready
    return bool(text) and text == run_id_of(info)


def connect_redis(url: str, timeout_s: float = REDIS_TIMEOUT_S) -> redis.Redis:
    """A client that waits so long and no longer; no connection is made yet. For `redis://…` and `rediss://…`.

    `?socket_timeout=` and `?socket_connect_timeout=` in the URL outrank the argument. A connection that was lost is made
    anew once; a time-out is not tried again. Raises ConfigurationError for another URL.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=True,
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        )
    except ValueError as exc:
        raise ConfigurationError(f"MAILROOM_REDIS_URL is no Redis URL: {exc}") from exc
    return client
