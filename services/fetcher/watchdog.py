"""A deadline for a step of a client that only knows how long a server may be silent."""

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator

from services.fetcher.endpoint import Endpoint
from services.fetcher.errors import connection_error
from shared.progress import moved

_LOOK_EVERY_S = 0.25


class Watchdog:
    """Breaks the connection when a step takes too long, so that whoever reads from it meets its end.

    One thread a connection, for as long as the `with` block lasts. It holds the connection by a descriptor of its own: a TLS
    handshake takes the socket away from whoever had it.
    """

    def __init__(self, connection: socket.socket, limit_s: float) -> None:
        self._connection = socket.socket(fileno=os.dup(connection.fileno()))
        self._limit_s = limit_s
        self._deadline = math.inf
        self._has_bitten = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mailbox-watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Until this descriptor is closed, too, the server sees no end."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    @contextlib.contextmanager
    def limit(self) -> Iterator[None]:
        """The block is one step. Raises TimeoutError in place of whatever the broken connection made the block raise."""
        moved()
        self._deadline = time.monotonic() + self._limit_s
        try:
            yield
        except Exception as exc:
            if self._has_bitten:
                raise TimeoutError(f"not done after {self._limit_s:g} s") from exc
            raise
        finally:
            self._deadline = math.inf

    def _watch(self) -> None:
        while not self._is_over.wait(min(_LOOK_EVERY_S, self._limit_s)):
            if time.monotonic() > self._deadline:
                self._has_bitten = True
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def opening(endpoint: Endpoint, plain: socket.socket) -> Iterator[None]:
    """The block turns this connection into a login, all of it within `step_s`. Raises MailboxUnreachable when it took longer."""
    with Watchdog(plain, endpoint.deadlines.step_s) as watchdog:
        try:
            with watchdog.limit():
                yield
        except TimeoutError as exc:
            raise connection_error(exc, endpoint.host, endpoint.port) from exc
