"""Counts of runs for those who watch: one that took long is shown for a while, so that watching costs little of the time."""

import threading
import time
from collections.abc import Callable
from typing import Final

from services.scheduler.passes_sql import Tally

SHARE: Final = 10
"""A count is shown for so many times as long as it took."""
_MOST: Final = 200


class RunTallies:
    """Thread-safe."""

    def __init__(self, count: Callable[[str], Tally], clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._clock = clock
        self._kept: dict[str, tuple[Tally, float]] = {}
        self._lock = threading.Lock()

    def of(self, run_id: str) -> Tally:
        """Raises DatabaseUnreachable."""
        with self._lock:
            kept = self._kept.get(run_id)
        began = self._clock()
        if kept is not None and began < kept[1]:
            return kept[0]
        tally = self._count(run_id)
        ended = self._clock()
        with self._lock:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[run_id] = (tally, ended + SHARE * (ended - began))
        return tally
