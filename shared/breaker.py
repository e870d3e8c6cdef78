"""A circuit breaker: a server that hung a moment ago is not waited for again at once."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed at first; `failed` opens it for `pause_s` seconds, then one caller at a time may try. Thread-safe."""

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_again_at: float | None = None

    def allows(self) -> bool:
        """Whether the server may be asked; who is told so of an open one is its trial, and the others go on pausing."""
        if self._closed_again_at is None:
            return True
        with self._lock:
            now = self._clock()
            if self._closed_again_at is not None and now < self._closed_again_at:
                return False
            if self._closed_again_at is not None:
                self._closed_again_at = now + self._pause_s
            return True

    def failed(self) -> None:
        """The server did not answer."""
        with self._lock:
            self._closed_again_at = self._clock() + self._pause_s

    def succeeded(self) -> None:
        """The server answered."""
        if self._closed_again_at is not None:
            with self._lock:
                self._closed_again_at = None
