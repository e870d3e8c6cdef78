"""Consuming one queue of RabbitMQ: batches go to a handler in threads of its own, acks follow its work.

The thread that owns the connection never waits for a handler, so it keeps beating while a database or a mail server
is slow. An ack goes to the channel that delivered; when that is gone, the broker delivers again.
"""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from kombu import Connection

from shared import meters
from shared.amqp import HEARTBEAT_S, RECOVERABLE, close_connection, drain, drop_connection, from_amqp, open_connection
from shared.bus import BatchLimits, BrokerUnreachable, Delivery, Handler, Publisher, dead_letter, settle
from shared.errors import Transient
from shared.progress import Progress, moved
from shared.topology import LEDGER_DEAD

GIVE_BACK_AFTER_S: Final = 60.0
LONGEST_HOLD_S: Final = 1200.0
"""The broker takes a delivery away after 30 minutes without an ack."""
_UNFILED_PAUSE_S: Final = 2.0
_TICK_S: Final = 0.02
_IDLE_TICK_S: Final = 0.25
_BEAT_EVERY_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Batch:
    deliveries: list[Delivery] = field(default_factory=list)
    last_tag: int = 0
    size_bytes: int = 0


class Consumer:
    """Feeds one queue to one handler until told to stop."""

    def __init__(
        self,
        url: str,
        queue_name: str,
        handler: Handler,
        publisher: Publisher,
        *,
        limits: BatchLimits,
        is_ready: Callable[[], bool],
        beat: Callable[[], None],
        give_back_after_s: float = GIVE_BACK_AFTER_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.queue_name = queue_name
        self.limits = limits
        self.beat = beat
        self.flushing = threading.Event()
        self._url = url
        self._handler = handler
        self._publisher = publisher
        self._is_ready = is_ready
        self._give_back_after_s = self._hold_s = give_back_after_s
        self._heartbeat_s = heartbeat_s
        self.progress = Progress()
        self.is_consuming = False
        """For a readiness check: connected, and fed by the broker."""

    @property
    def prefetch(self) -> int:
        """Messages that may be here unsettled. Long work one by one is left to whoever is free (mailboxes to fetch)."""
        messages = self.limits.messages
        arriving = 1
        return 1 if messages == 1 else min(messages * (self.limits.in_work + arriving), 65535)

    def flush(self) -> None:
        """Close the batch that is open now."""
        self.flushing.set()

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop`, reconnecting for ever; what is in flight when it is set is finished and acked."""
        pause_s = 0.1
        while not stop.is_set():
            if not self._is_ready():
                stop.wait(1.0)
                continue
            try:
                session = _Session(self, open_connection(self._url, self._heartbeat_s))
            except BrokerUnreachable as exc:
                log.warning("broker_unreachable", queue=self.queue_name, cause=str(exc))
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)
                continue
            pause_s = 0.1
            try:
                session.run(stop)
            finally:
                self.is_consuming = False

    def handle(self, batch: Sequence[Delivery], stopping: threading.Event) -> None:
        """Run the handler until it succeeds and set aside what it rejects. Raises Transient when a server stays away."""
        give_up_at = time.monotonic() + self._hold_s
        pause_s = 0.1
        while True:
            try:
                rejections = settle(self._handler, batch)
                if rejections:
                    now = datetime.now(UTC)
                    self._publisher.publish([dead_letter(rejection, now) for rejection in rejections])
                    meters.MESSAGES.labels(self.queue_name, "dead_lettered").inc(len(rejections))
                    log.warning(
                        "dead_lettered", queue=self.queue_name, messages=len(rejections), first=rejections[0].reason
                    )
                    if self.queue_name == LEDGER_DEAD.name:  # where they will come from again
                        stopping.wait(_UNFILED_PAUSE_S)
                meters.MESSAGES.labels(self.queue_name, "done").inc(len(batch) - len(rejections))
                return
            except Transient as exc:
                if stopping.is_set():
                    raise
                if time.monotonic() >= give_up_at:
                    raise
                log.warning("batch_retried", queue=self.queue_name, messages=len(batch), cause=str(exc))
                meters.RETRIES.labels(self.queue_name).inc()
                moved()
                stopping.wait(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    def gave_back(self) -> None:
        """What is given back in a row is held twice as long each time: the broker counts what comes back."""
        self._hold_s = max(self._hold_s, min(self._hold_s * 2, LONGEST_HOLD_S))

    def acked(self) -> None:
        """The batch that was longest here is done."""
        self._hold_s = self._give_back_after_s


class _Session:
    """One connection's life: what it delivered is settled on its channel, or not at all."""

    def __init__(self, consumer: Consumer, connection: Connection) -> None:
        self._consumer = consumer
        self._connection = connection
        self._open = _Batch()
        self._began_at = 0.0
        self._arrived_at = 0.0
        self._work: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Batch, Exception | None]] = queue.SimpleQueue()
        self._unsettled: deque[_Batch] = deque()
        """In the order of their arrival."""
        self._finished: set[int] = set()
        """Last tags of batches that are done and wait for one before them."""
        self._failure: Exception | None = None
        self._ending = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, a lost connection, or a batch to give back. Raises what a handler should never raise."""
        name = self._consumer.queue_name
        workers = [
            threading.Thread(target=self._work_off, name=f"handler of {name}")
            for _ in range(self._consumer.limits.in_work)
        ]
        for worker in workers:
            worker.start()
        try:
            self._consume(stop)
        except RECOVERABLE as exc:
            log.warning("consumer_disconnected", queue=name, cause=str(exc))
            meters.RECONNECTS.labels(name).inc()
            drop_connection(self._connection)
        except Transient as exc:
            log.warning("batch_given_back", queue=name, cause=str(exc))
            meters.GIVEN_BACK.labels(name).inc()
            self._consumer.gave_back()
        finally:
            close_connection(self._connection)
            self._end()
            for worker in workers:
                worker.join()

    def _end(self) -> None:
        """No further batch is begun; those that wait come again, for their deliveries end with the channel."""
        self._ending.set()
        for _ in range(self._consumer.limits.in_work):
            self._work.put(None)

    def _consume(self, stop: threading.Event) -> None:
        channel = self._connection.channel()
        channel.auto_decode = False
        channel.basic_qos(0, self._consumer.prefetch, False)
        tag = channel.basic_consume(self._consumer.queue_name, callback=self._receive)
        self._consumer.is_consuming = True
        beat_at = 0.0
        while not stop.is_set():
            is_busy = bool(self._unsettled or self._open.deliveries)
            with contextlib.suppress(TimeoutError):
                drain(self._connection, _TICK_S if is_busy else _IDLE_TICK_S)
            self._close_batch_when_due()
            if self._consumer.flushing.is_set():
                self._consumer.flushing.clear()
                self._hand_over()
            self._settle(channel)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + _BEAT_EVERY_S
                self._connection.heartbeat_check()
                self._consumer.beat()
        channel.basic_cancel(tag)
        self._end()
        while self._unsettled:
            # Reading goes on: a handler may take longer than the broker may stay silent, and its ack must not be lost.
            with contextlib.suppress(TimeoutError):
                drain(self._connection, _TICK_S)
            self._settle(channel)
            self._connection.heartbeat_check()

    def _receive(self, received: Any) -> None:
        message = from_amqp(received)
        is_again = bool(received.delivery_info["redelivered"])
        self._open.deliveries.append(Delivery(message, self._consumer.queue_name, is_again))
        self._open.last_tag = received.delivery_tag
        self._open.size_bytes += len(message.body)
        self._arrived_at = time.monotonic()
        if len(self._open.deliveries) == 1:
            self._began_at = self._arrived_at
        limits = self._consumer.limits
        if len(self._open.deliveries) >= limits.messages or self._open.size_bytes >= limits.size_bytes:
            self._hand_over()

    def _close_batch_when_due(self) -> None:
        now = time.monotonic()
        limits = self._consumer.limits
        if now - self._arrived_at >= limits.quiet_s or now - self._began_at >= limits.longest_s:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._open.deliveries and self._failure is None:
            self._unsettled.append(self._open)
            self._work.put(self._open)
            self._open = _Batch()

    def _work_off(self) -> None:
        while (batch := self._work.get()) is not None:
            if self._ending.is_set():
                self._done.put((batch, _NotBegun()))
                continue
            try:
                with (
                    self._consumer.progress.working(),
                    meters.BATCHES.labels(self._consumer.queue_name).time(),
                ):
                    self._note_age(batch)
                    self._consumer.handle(batch.deliveries, self._ending)
                self._done.put((batch, None))
            except Exception as exc:  # noqa: BLE001 (raised again by the session)
                # Nothing behind a batch that failed is acked: it need not be begun either.
                self._ending.set()
                self._done.put((batch, exc))

    def _note_age(self, batch: _Batch) -> None:
        sent_at = [delivery.message.timestamp for delivery in batch.deliveries if delivery.message.timestamp]
        if sent_at:
            waited = datetime.now(UTC) - min(sent_at)
            meters.OLDEST.labels(self._consumer.queue_name).set(max(0.0, waited.total_seconds()))

    def _settle(self, channel: Any) -> None:
        """Ack what is done, in order. Raises what ended a batch, once those before it are done, too."""
        while True:
            try:
                batch, error = self._done.get_nowait()
            except queue.Empty:
                break
            if error is None:
                self._finished.add(batch.last_tag)
                continue
            if batch in self._unsettled:  # acks go up to a tag: neither it nor anything behind it may be acked
                while self._unsettled.pop() is not batch:
                    pass
            if not isinstance(error, _NotBegun):
                self._failure = self._failure or error
        acked = 0
        while self._unsettled and self._unsettled[0].last_tag in self._finished:
            acked = self._unsettled.popleft().last_tag
            self._finished.discard(acked)
        if acked:
            channel.basic_ack(acked, multiple=True)
            self._consumer.acked()
        if self._failure is not None and not self._unsettled:
            raise self._failure


class _NotBegun(Exception):
    """The session ended before the batch's turn."""
