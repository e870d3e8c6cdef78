"""Publishing to RabbitMQ: mandatory, and in windows of confirms."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import structlog
from kombu import Connection

from shared.amqp import RECOVERABLE, close_connection, drop_connection, open_connection, to_amqp
from shared.bus import BrokerUnreachable, Message, Unroutable

WINDOW_MESSAGES: Final = 500
WINDOW_BYTES: Final = 16 * 1024 * 1024
PATIENCE_S: Final = 30.0
"""How long a window is tried again before its publisher hears of it."""

log = structlog.get_logger(__name__)


class ConfirmingPublisher:
    """One connection, used by one thread at a time. Reconnects; whatever is not confirmed is published again."""

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None
        self._tag = 0
        self._unconfirmed: dict[int, Message] = {}
        self._refused: list[Message] = []
        self._returned: set[tuple[str, str]] = set()

    def publish(self, messages: Iterable[Message]) -> None:
        """Return when all are confirmed. Raises Unroutable or BrokerUnreachable after `patience_s` without success."""
        with self._lock:
            for window in _windows(messages):
                self._publish_window(window)

    def _publish_window(self, window: list[Message]) -> None:
        deadline = time.monotonic() + self._patience_s
        pause_s = 0.05
        left = window
        while True:
            error: Unroutable | BrokerUnreachable
            try:
                left = self._attempt(left)
                if not left:
                    return
                names = sorted({f"{message.exchange}/{message.routing_key}" for message in left})
                error = Unroutable(f"{len(left)} messages for {', '.join(names)} reached no queue, or a full one")
                self._disconnect()  # connecting declares the topology: a queue that somebody deleted is there again
            except BrokerUnreachable as exc:
                error = exc
            except RECOVERABLE as exc:
                self._disconnect()
                left = [*self._unconfirmed.values(), *self._refused] or left
                error = BrokerUnreachable(f"the broker went away while publishing: {exc}")
            if time.monotonic() >= deadline:
                raise error
            log.warning("publish_retried", messages=len(left), cause=str(error))
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _attempt(self, messages: list[Message]) -> list[Message]:
        """Publish, wait for every confirm, and return what was refused or returned."""
        channel = self._open_channel()
        self._unconfirmed, self._refused, self._returned = dict(enumerate(messages, self._tag + 1)), [], set()
        for message in messages:
            self._tag += 1
            channel.basic_publish(to_amqp(message), message.exchange, message.routing_key, mandatory=message.mandatory)
        connection = self._connection
        assert connection is not None
        silent_until = time.monotonic() + self._patience_s
        while self._unconfirmed:
            before = len(self._unconfirmed)
            try:
                connection.drain_events(timeout=1.0)
            except TimeoutError:
                connection.heartbeat_check()
            if len(self._unconfirmed) != before:
                silent_until = time.monotonic() + self._patience_s
            elif time.monotonic() >= silent_until:
                raise OSError(f"no confirm within {self._patience_s:.0f} s")
        # A message that was returned is confirmed as well, and cannot be told from its neighbours of the same key.
        refused = {id(message) for message in self._refused}
        return [m for m in messages if id(m) in refused or (m.exchange, m.routing_key) in self._returned]

    def _open_channel(self) -> Any:
        if self._channel is None:
            self._connection = open_connection(self._url)
            self._channel = self._connection.channel()
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)
            self._tag = 0
        return self._channel

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._confirm(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused += self._confirm(tag, multiple)

    def _confirm(self, tag: int, multiple: bool) -> list[Message]:
        if not multiple:
            message = self._unconfirmed.pop(tag, None)
            return [] if message is None else [message]
        confirmed = []
        while self._unconfirmed and (first := next(iter(self._unconfirmed))) <= tag:
            confirmed.append(self._unconfirmed.pop(first))
        return confirmed

    def _on_return(self, _error: Any, exchange: str, routing_key: str, _message: Any) -> None:
        self._returned.add((exchange, routing_key))

    def beat(self) -> None:
        """Keep an idle connection alive; called about once a second by a thread that has nothing better to do."""
        if not self._lock.acquire(blocking=False):
            return  # it is publishing, which is as good as a heartbeat
        try:
            if self._connection is not None:
                try:
                    self._connection.drain_events(timeout=0.001)
                except TimeoutError:
                    self._connection.heartbeat_check()
        except RECOVERABLE as exc:
            log.warning("publisher_disconnected", cause=str(exc))
            self._disconnect()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Say goodbye to the broker."""
        with self._lock:
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                close_connection(connection)

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            drop_connection(connection)


def _windows(messages: Iterable[Message]) -> Iterator[list[Message]]:
    window: list[Message] = []
    size_bytes = 0
    for message in messages:
        if window and (len(window) >= WINDOW_MESSAGES or size_bytes + len(message.body) > WINDOW_BYTES):
            yield window
            window, size_bytes = [], 0
        window.append(message)
        size_bytes += len(message.body)
    if window:
        yield window
