"""The projection that senders read: written only within the database's epoch, and only to a greater version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis

from services.ledger.ports import Change
from shared.errors import Transient
from shared.suppressions import ADDRESS_KEY, EPOCH_KEY, HIGH_KEY, READY_KEY, SUPPRESSED_KEY, is_ready

_CALL_ADDRESSES: Final = 1000

_WRITE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local high = tonumber(redis.call('GET', KEYS[2]) or '0')
for i = 2, #ARGV, 4 do
  local recipient, version, soft, state = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]
  local known = redis.call('HGET', KEYS[3], recipient)
  if not known or tonumber(string.match(known, '^%d+')) < version then
    redis.call('HSET', KEYS[3], recipient, ARGV[i + 1] .. ' ' .. soft .. ' ' .. state)
    if state == 'ok' then redis.call('SREM', KEYS[4], recipient) else redis.call('SADD', KEYS[4], recipient) end
  end
  if version > high then high = version end
end
redis.call('SET', KEYS[2], string.format('%.0f', high))
return 1
"""

_SET_READY: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""


class ProjectionUnreachable(Transient):
    """No Redis, or one that does not answer or has no room."""


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """What Redis says of itself."""

    epoch: int | None
    high: int
    is_ready: bool


class RedisProjection:
    """Addresses in Redis. Raises ProjectionUnreachable from every method."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._write = client.register_script(_WRITE)
        self._set_ready = client.register_script(_SET_READY)

    def write(self, epoch: int, changes: Sequence[Change]) -> bool:
        """Write those that are newer than what is there; False when Redis is of another epoch."""
        keys = [EPOCH_KEY, HIGH_KEY, ADDRESS_KEY, SUPPRESSED_KEY]
        for start in range(0, len(changes), _CALL_ADDRESSES):
            arguments: list[Any] = [epoch]
            for change in changes[start : start + _CALL_ADDRESSES]:
                standing = change.standing
                arguments += (change.recipient, change.version, standing.soft, standing.state.value)
            if not self._call(self._write, keys, arguments):
                return False
        return True

    def state(self) -> ProjectionState:
        """Epoch, greatest version, and whether a rebuild filled this very process."""
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.info("server")
                pipe.mget(READY_KEY, EPOCH_KEY, HIGH_KEY)
                info, (ready, epoch, high) = pipe.execute()
        except redis.RedisError as exc:
            raise ProjectionUnreachable(f"Redis does not answer: {exc}") from exc
        return ProjectionState(int(epoch) if epoch else None, int(high or 0), is_ready(info, ready))

    def begin(self, epoch: int) -> str:
        """Forget everything and begin an epoch; from here on writes of older epochs are refused. The run_id of this Redis."""
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.unlink(READY_KEY, SUPPRESSED_KEY, ADDRESS_KEY, HIGH_KEY)
                pipe.set(EPOCH_KEY, epoch)
                pipe.info("server")
                return str(pipe.execute()[-1]["run_id"])
        except redis.RedisError as exc:
            raise ProjectionUnreachable(f"Redis does not answer: {exc}") from exc

    def finish(self, epoch: int, run_id: str) -> bool:
        """Declare it complete; False when another epoch has begun meanwhile.

        `run_id` is what `begin` gave: a Redis that started anew on the way may have lost what was written to the first.
        """
        return bool(self._call(self._set_ready, [EPOCH_KEY, READY_KEY], [epoch, run_id]))

    def _call(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        try:
            return script(keys=keys, args=arguments)
        except redis.RedisError as exc:
            raise ProjectionUnreachable(f"Redis does not take the write: {exc}") from exc
