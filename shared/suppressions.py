"""May this address be mailed? The one question that senders ask, answered from Redis or from the database.

Redis answers only while it is known to be complete: `mailroom:ready` names the very Redis process that a rebuild filled.
When it does not, the database answers. Nobody is ever told "clean" for want of an answer.
"""

from collections.abc import Sequence
from typing import Any, Final

import redis
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.addresses import normalise_address
from shared.errors import ConfigurationError
from shared.tables.ledger import address
from shared.tables.schema import DatabaseUnreachable

SUPPRESSED_KEY: Final = "mailroom:suppressed"
ADDRESS_KEY: Final = "mailroom:address"
EPOCH_KEY: Final = "mailroom:epoch"
HIGH_KEY: Final = "mailroom:high"
READY_KEY: Final = "mailroom:ready"

_CHUNK: Final = 1000


class Suppressions:
    """Look-ups for senders. Thread-safe."""

    def __init__(self, engine: Engine | None, client: redis.Redis | None = None) -> None:
        self._engine = engine
        self._redis = client

    def are_suppressed(self, addresses: Sequence[str]) -> list[bool]:
        """For each address, in order, whether it must not be mailed; addresses are normalised first.

        Raises InvalidAddress, and DatabaseUnreachable when nobody can tell: hold the mail then.
        """
        normalised = [normalise_address(text) for text in addresses]
        answers: list[bool] = []
        for start in range(0, len(normalised), _CHUNK):
            chunk = normalised[start : start + _CHUNK]
            known = self._ask_redis(chunk)
            answers += known if known is not None else self._ask_database(chunk)
        return answers

    def _ask_redis(self, chunk: list[str]) -> list[bool] | None:
        """None when Redis is away or not known to be complete."""
        if self._redis is None:
            return None
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.info("server")
                pipe.get(READY_KEY)
                pipe.smismember(SUPPRESSED_KEY, chunk)
                info, ready, members = pipe.execute()
        except redis.RedisError:
            return None
        return [bool(member) for member in members] if is_ready(info, ready) else None

    def _ask_database(self, chunk: list[str]) -> list[bool]:
        if self._engine is None:
            raise DatabaseUnreachable("Redis cannot answer and no database is configured: hold the mail")
        suppressed = select(address.c.recipient).where(address.c.recipient.in_(chunk), address.c.state != "ok")
        try:
            with self._engine.execution_options(sqlite_read_only=True).begin() as connection:
                found = set(connection.execute(suppressed).scalars())
        except (DBAPIError, PoolTimeout) as exc:
            raise DatabaseUnreachable(f"the database does not answer: {getattr(exc, 'orig', exc)}") from exc
        return [one in found for one in chunk]


def is_ready(info: dict[str, Any], ready: bytes | str | None) -> bool:
    """Whether the ready mark was set in the life of this Redis process: an old snapshot carries an older one's."""
    text = ready.decode() if isinstance(ready, bytes) else ready
    return text is not None and text == str(info["run_id"])


def connect_redis(url: str) -> redis.Redis:
    """A client that times out; no connection is made yet. For `redis://…` and `rediss://…`.

    Raises ConfigurationError for another URL.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=10, socket_connect_timeout=5, decode_responses=True
        )
    except ValueError as exc:
        raise ConfigurationError(f"MAILROOM_REDIS_URL is no Redis URL: {exc}") from exc
    return client
