"""How often a token may ask: so many requests in any minute, counted in Redis, which all consoles share, or in this process."""

import math
import time
from typing import Final

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

log = structlog.get_logger(__name__)

_NAMESPACE: Final = "mailroom-api"


class Pace:
    """Thread-safe. While Redis is away this process counts alone."""

    def __init__(self, per_minute: int, redis_url: str = "") -> None:
        self._limit = RateLimitItemPerMinute(per_minute, namespace=_NAMESPACE)
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SlidingWindowCounterRateLimiter(_redis(redis_url)) if redis_url else self._alone

    def wait(self, name: str) -> int:
        """Counts a request; the seconds until another is allowed, 0 when this one is."""
        try:
            return self._ask(self._shared, name)
        except StorageError as exc:
            log.warning("rate_counted_here", cause=str(exc))
            return self._ask(self._alone, name)

    def _ask(self, limiter: SlidingWindowCounterRateLimiter, name: str) -> int:
        if limiter.hit(self._limit, name):
            return 0
        reset_at = limiter.get_window_stats(self._limit, name).reset_time
        return max(1, math.ceil(reset_at - time.time()))


def _redis(url: str) -> Storage:
    return RedisStorage(url, wrap_exceptions=True, socket_timeout=0.5, socket_connect_timeout=0.5)
