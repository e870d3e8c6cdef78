"""A deadline for a step of a client that only knows how long a server may be silent."""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

_LOOK_EVERY_S = 0.5


class Watchdog:
    """Breaks the connection when a step takes too long, so that whoever reads from it meets its end.

    One thread a connection, for as long as the `with` block lasts. `connection` gives the socket of the moment: STARTTLS
    exchanges it.
    """

    def __init__(self, connection: Callable[[], socket.socket], limit_s: float) -> None:
        self._connection = connection
        self._limit_s = limit_s
        self._deadline = math.inf
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mailbox-watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def limit(self) -> Iterator[None]:
        """The block is one step."""
        self._deadline = time.monotonic() + self._limit_s
        try:
            yield
        finally:
            self._deadline = math.inf

    def _watch(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            if time.monotonic() > self._deadline:
                with contextlib.suppress(OSError):
                    # not SSLSocket's own: it would take the TLS state away from under the reader
                    socket.socket.shutdown(self._connection(), socket.SHUT_RDWR)
