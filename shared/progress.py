"""Whether the work in hand goes on: who has begun some, and when it last moved."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

STILL_S: Final = 30.0
"""Work that has not moved for so long hangs. What waits longer for a server by name has a deadline, or says `moved`."""

_current = threading.local()


class Progress:
    """Of the threads that work off one queue."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._moved_at: dict[int, float] = {}
        """By thread, while it has work in hand."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """The block is a piece of work of this thread."""
        self._note()
        _current.progress = self
        try:
            yield
        finally:
            _current.progress = None
            with self._lock:
                del self._moved_at[threading.get_ident()]

    def still_s(self) -> float:
        """So long the work that moved least lately has not moved; 0 where nothing is in hand."""
        with self._lock:
            return self._clock() - min(self._moved_at.values()) if self._moved_at else 0.0

    def _note(self) -> None:
        with self._lock:
            self._moved_at[threading.get_ident()] = self._clock()


def moved() -> None:
    """This thread's work goes on, or waits for a server that has a name; where it works for no queue, nothing happens."""
    progress: Progress | None = getattr(_current, "progress", None)
    if progress is not None:
        progress._note()
