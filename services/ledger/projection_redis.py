"""The projection that senders read: written only within the database's epoch, and only to a greater version.

What every address stands at is kept in many small hashes: Redis packs those into half the memory of one great hash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self
from zlib import crc32

import redis

from services.ledger.policy import State
from services.ledger.ports import Change
from shared.breaker import Breaker
from shared.errors import Transient
from shared.suppressions import (
    ADDRESS_KEY,
    EPOCH_KEY,
    HIGH_KEY,
    READY_KEY,
    REDIS_PAUSE_S,
    SUPPRESSED_KEY,
    ask_for_run_id,
    connect_redis,
    is_ready,
    run_id_of,
)

BUCKETS: Final = 32_768
"""Redis packs a hash of up to 128 fields: enough for four million addresses; with more they cost what one hash would."""

WRITER_TIMEOUT_S: Final = 2.0
"""Longer than senders wait: what a batch could not tell costs work, not mail."""

_CALL_ADDRESSES: Final = 1000
_SCAN_BUCKETS: Final = 200
_SCAN_MEMBERS: Final = 5000

# What is told to the set is told at once at the end: a call for each address would take twice as long in all.
_WRITE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local high = tonumber(redis.call('GET', KEYS[2]) or '0')
local is_suppressed = {}
for i = 2, #ARGV, 3 do
  local bucket, recipient, row = KEYS[3] .. ':' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local version = tonumber(string.match(row, '^%d+'))
  local is_written = redis.call('HSETNX', bucket, recipient, row) == 1
  if not is_written and tonumber(string.match(redis.call('HGET', bucket, recipient), '^%d+')) < version then
    redis.call('HSET', bucket, recipient, row)
    is_written = true
  end
  if is_written then is_suppressed[recipient] = string.sub(row, -3) ~= ' ok' end
  if version > high then high = version end
end
local told = {SADD = {}, SREM = {}}
for recipient, is_member in pairs(is_suppressed) do table.insert(told[is_member and 'SADD' or 'SREM'], recipient) end
for command, recipients in pairs(told) do
  if #recipients > 0 then redis.call(command, KEYS[4], unpack(recipients)) end
end
redis.call('SET', KEYS[2], string.format('%.0f', high))
return 1
"""

_BEGIN: Final = """
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
for bucket = 0, tonumber(ARGV[2]) - 1 do redis.call('UNLINK', KEYS[3] .. ':' .. bucket) end
redis.call('SET', KEYS[1], ARGV[1])
"""

_SET_READY: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


class ProjectionUnreachable(Transient):
    """No Redis, or one that does not answer or has no room."""


class Entry(NamedTuple):
    """Where an address stands, as Redis is told it."""

    recipient: str
    version: int
    soft: int
    state: str

    @classmethod
    def of(cls, change: Change) -> Self:
        """What is projected of a change."""
        return cls(change.recipient, change.version, change.standing.soft, change.standing.state.value)


class Projected(NamedTuple):
    """What Redis holds of an address, read in one instant."""

    entry: Entry | None
    is_suppressed: bool

    @property
    def version(self) -> int:
        """0 of an address that is not there."""
        return self.entry.version if self.entry else 0

    @property
    def is_consistent(self) -> bool:
        """Whether the set that senders ask says what the entry says."""
        return self.is_suppressed == (self.entry is not None and self.entry.state != State.OK)


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """What Redis says of itself."""

    epoch: int | None
    high: int
    is_ready: bool


class RedisProjection:
    """Addresses in Redis. Raises ProjectionUnreachable from every method.

    `write` and `high`, which a batch waits for, leave a Redis that did not answer alone for `pause_s` seconds; the
    others, which the upkeep calls, always ask, and find out that it is back.
    """

    def __init__(self, client: redis.Redis, pause_s: float = REDIS_PAUSE_S) -> None:
        self._redis = client
        self._breaker = Breaker(pause_s)
        self._write = client.register_script(_WRITE)
        self._begin = client.register_script(_BEGIN)
        self._set_ready = client.register_script(_SET_READY)

    def write(self, epoch: int, changes: Sequence[Change]) -> bool:
        """Write those that are newer than what is there; False when Redis is of another epoch."""
        return self.write_entries(epoch, [Entry.of(change) for change in changes])

    def write_entries(self, epoch: int, entries: Sequence[Entry]) -> bool:
        """As `write`; thousands are sent at once."""
        self._respect_the_pause()
        keys = [EPOCH_KEY, HIGH_KEY, ADDRESS_KEY, SUPPRESSED_KEY]
        calls = [
            _arguments(epoch, entries[at : at + _CALL_ADDRESSES]) for at in range(0, len(entries), _CALL_ADDRESSES)
        ]
        with _Reaching(self._breaker):
            if len(calls) == 1:
                return bool(self._write(keys, calls[0]))
            with self._redis.pipeline(transaction=False) as pipe:
                for arguments in calls:
                    self._write(keys, arguments, pipe)
                return all(pipe.execute())

    def high(self) -> int:
        """The greatest version ever written in this epoch."""
        self._respect_the_pause()
        with _Reaching(self._breaker):
            return int(self._redis.get(HIGH_KEY) or 0)

    def state(self) -> ProjectionState:
        """Epoch, greatest version, and whether a rebuild filled this very process."""
        with _Reaching(self._breaker), self._redis.pipeline(transaction=True) as pipe:
            ask_for_run_id(pipe)
            pipe.mget(READY_KEY, EPOCH_KEY, HIGH_KEY)
            info, (ready, epoch, high) = pipe.execute()
        return ProjectionState(int(epoch) if epoch else None, int(high or 0), is_ready(info, ready))

    def distrust(self) -> None:
        """Send senders to the database, and have the upkeep rebuild: what is here is not the database's."""
        with _Reaching(self._breaker):
            self._redis.delete(READY_KEY)

    def begin(self, epoch: int) -> str:
        """Forget everything and begin an epoch; from here on writes of older epochs are refused. The run_id of this Redis."""
        keys = [EPOCH_KEY, READY_KEY, ADDRESS_KEY, SUPPRESSED_KEY, HIGH_KEY]
        with _Reaching(self._breaker), self._redis.pipeline(transaction=True) as pipe:
            self._begin(keys, [epoch, BUCKETS], pipe)
            ask_for_run_id(pipe)
            return run_id_of(pipe.execute()[-1])

    def finish(self, epoch: int, run_id: str) -> bool:
        """Declare it complete; False when another epoch has begun meanwhile.

        `run_id` is what `begin` gave: a Redis that started anew on the way may have lost what was written to the first.
        """
        with _Reaching(self._breaker):
            return bool(self._set_ready([EPOCH_KEY, READY_KEY], [epoch, run_id]))

    def read(self, recipients: Sequence[str]) -> list[Projected]:
        """What Redis holds of each, in order; of one address at one instant."""
        if not recipients:
            return []
        with _Reaching(self._breaker), self._redis.pipeline(transaction=True) as pipe:
            for recipient in recipients:
                pipe.hget(_key(recipient), recipient)
            pipe.smismember(SUPPRESSED_KEY, list(recipients))
            *rows, members = pipe.execute()
        return [
            Projected(_entry(recipient, row) if row else None, bool(member))
            for recipient, row, member in zip(recipients, rows, members, strict=True)
        ]

    def recipients(self) -> Iterator[list[str]]:
        """Every address that Redis knows, in parts; some may come twice, and those that come meanwhile may be missed."""
        cursor: Any = None
        while cursor != 0:
            with _Reaching(self._breaker), self._redis.pipeline(transaction=False) as pipe:
                cursor, buckets = self._redis.scan(cursor or 0, f"{ADDRESS_KEY}:*", count=_SCAN_BUCKETS)
                for bucket in buckets:
                    pipe.hkeys(bucket)
                found = pipe.execute()
            yield [recipient for names in found for recipient in names]
        cursor = None
        while cursor != 0:
            with _Reaching(self._breaker):
                cursor, members = self._redis.sscan(SUPPRESSED_KEY, cursor or 0, count=_SCAN_MEMBERS)
            yield [str(member) for member in members]

    def _respect_the_pause(self) -> None:
        if not self._breaker.allows():
            raise ProjectionUnreachable("Redis did not answer a moment ago")


class _Reaching:
    """Translates redis-py's errors, and keeps the breaker informed."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        return

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        if exc is None:
            self._breaker.succeeded()
        elif isinstance(exc, redis.ConnectionError | redis.TimeoutError):
            self._breaker.failed()
            raise ProjectionUnreachable(f"Redis does not answer: {exc}") from exc
        elif isinstance(exc, redis.RedisError):
            raise ProjectionUnreachable(f"Redis does not take it: {exc}") from exc


def connect_projection(url: str) -> RedisProjection:
    """For whoever writes; no connection is made yet. Raises ConfigurationError when it is no Redis URL."""
    return RedisProjection(connect_redis(url, WRITER_TIMEOUT_S))


def _arguments(epoch: int, entries: Sequence[Entry]) -> list[Any]:
    arguments: list[Any] = [epoch]
    for entry in entries:
        recipient, version, soft, state = entry
        arguments += (_bucket(recipient), recipient, f"{version} {soft} {state}")
    return arguments


def _bucket(recipient: str) -> int:
    return crc32(recipient.encode()) % BUCKETS


def _key(recipient: str) -> str:
    return f"{ADDRESS_KEY}:{_bucket(recipient)}"


def _entry(recipient: str, row: str | bytes) -> Entry:
    version, soft, state = (row.decode() if isinstance(row, bytes) else row).split(" ")
    return Entry(recipient, int(version), int(soft), state)
