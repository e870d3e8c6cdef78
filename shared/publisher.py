"""Publishing to RabbitMQ: mandatory, and in windows of confirms."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from kombu import Connection

from shared import meters
from shared.amqp import HEARTBEAT_S, RECOVERABLE, close_connection, drain, drop_connection, open_connection, to_amqp
from shared.bus import BrokerUnreachable, Message, Unroutable
from shared.progress import moved

WINDOW_MESSAGES: Final = 500
WINDOW_BYTES: Final = 16 * 1024 * 1024
PATIENCE_S: Final = 30.0
"""How long a window is tried again before its publisher hears of it."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Attempt:
    """What the broker has said so far about the messages of one attempt on one channel, by delivery tag."""

    unconfirmed: dict[int, Message] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    returned: set[tuple[str, str]] = field(default_factory=set)


class ConfirmingPublisher:
    """One connection, used by one thread at a time. Reconnects; whatever is not confirmed is published again."""

    def __init__(self, url: str, patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._heartbeat_s = heartbeat_s
        self.is_failing = False
        """The last window got no further than the patience reaches."""
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None
        self._tag = 0
        self._attempt = _Attempt()

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
                left = self._publish_once(left)
                if not left:
                    self.is_failing = False
                    return
                names = sorted({f"{message.exchange}/{message.routing_key}" for message in left})
                error = Unroutable(f"{len(left)} messages for {', '.join(names)} reached no queue, or a full one")
                self._disconnect()  # connecting declares the topology: a queue that somebody deleted is there again
            except BrokerUnreachable as exc:
                error = exc
            except RECOVERABLE as exc:
                self._disconnect()
                left = self._not_safe(left)
                error = BrokerUnreachable(f"the broker went away while publishing: {exc}")
            if time.monotonic() >= deadline:
                self.is_failing = True
                raise error
            log.warning("publish_retried", messages=len(left), cause=str(error))
            meters.PUBLISH_RETRIES.inc()
            moved()
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    def _publish_once(self, messages: list[Message]) -> list[Message]:
        """Publish, wait for every confirm, and return what was refused or returned."""
        # Before anything can fail: whoever asks what is safe must not be told of the attempt before.
        self._attempt = attempt = _Attempt(dict(enumerate(messages)))
        channel = self._open_channel()
        attempt.unconfirmed = dict(enumerate(messages, self._tag + 1))
        connection = self._connection
        assert connection is not None
        began = time.monotonic()
        sent_at = int(time.time())
        with _corked(connection.connection.sock):
            for message in messages:
                self._tag += 1
                channel.basic_publish(
                    to_amqp(message, sent_at), message.exchange, message.routing_key, mandatory=message.mandatory
                )
        silent_until = time.monotonic() + self._patience_s
        while attempt.unconfirmed:
            before = len(attempt.unconfirmed)
            try:
                drain(connection, 1.0)
            except TimeoutError:
                connection.heartbeat_check()
            moved()
            if len(attempt.unconfirmed) != before:
                silent_until = time.monotonic() + self._patience_s
            elif time.monotonic() >= silent_until:
                raise OSError(f"no confirm within {self._patience_s:.0f} s")
        meters.CONFIRMS.observe(time.monotonic() - began)
        left = self._not_safe(messages)
        for key, count in (Counter(m.routing_key for m in messages) - Counter(m.routing_key for m in left)).items():
            meters.PUBLISHED.labels(key).inc(count)
        return left

    def _not_safe(self, messages: list[Message]) -> list[Message]:
        """Those of the attempt's messages that have to be published again."""
        attempt = self._attempt
        open_ones = attempt.refused | {id(message) for message in attempt.unconfirmed.values()}
        # A message that was returned is confirmed as well, and cannot be told from its neighbours of the same key.
        return [m for m in messages if id(m) in open_ones or (m.exchange, m.routing_key) in attempt.returned]

    def _open_channel(self) -> Any:
        if self._channel is None:
            self._connection = open_connection(self._url, self._heartbeat_s)
            # py-amqp would look for the broker's notice "blocked" before every publish, which takes half of its time;
            # a broker that is blocked is noticed by the confirms that do not come.
            self._connection.connection.client_properties.get("capabilities", {}).pop("connection.blocked", None)
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
        self._attempt.refused.update(id(message) for message in self._confirm(tag, multiple))

    def _confirm(self, tag: int, multiple: bool) -> list[Message]:
        unconfirmed = self._attempt.unconfirmed
        if not multiple:
            message = unconfirmed.pop(tag, None)
            return [] if message is None else [message]
        confirmed = []
        while unconfirmed and (first := next(iter(unconfirmed))) <= tag:
            confirmed.append(unconfirmed.pop(first))
        return confirmed

    def _on_return(self, _error: Any, exchange: str, routing_key: str, _message: Any) -> None:
        self._attempt.returned.add((exchange, routing_key))

    def beat(self) -> None:
        """Keep an idle connection alive; called about once a second by a thread that has nothing better to do."""
        if not self._lock.acquire(blocking=False):
            return  # it is publishing, which is as good as a heartbeat
        try:
            if self._connection is not None:
                try:
                    drain(self._connection, 0.001)
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


@contextmanager
def _corked(sock: socket.socket) -> Iterator[None]:
    """Let the kernel fill its packets while a window is written, where it can: half the work for both sides."""
    cork = getattr(socket, "TCP_CORK", None)
    if cork is not None:
        sock.setsockopt(socket.IPPROTO_TCP, cork, 1)
    yield
    if cork is not None:
        sock.setsockopt(socket.IPPROTO_TCP, cork, 0)


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
