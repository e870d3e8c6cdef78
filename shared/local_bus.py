"""The bus without a broker: a publish returns when the handlers behind it have done their work."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from threading import Event

from shared.bus import BatchLimits, Delivery, Handler, Message, Unroutable, dead_letter, settle
from shared.errors import Transient
from shared.topology import LEDGER_DEAD, queues_for


class LocalBus:
    """Routes by the same table as the broker. Not thread-safe; a handler may publish from within."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Handler, BatchLimits]] = {}
        self._listeners: dict[str, list[Callable[[Message], None]]] = defaultdict(list)

    def subscribe(
        self,
        queue: str,
        handler: Handler,
        limits: BatchLimits = BatchLimits(),  # noqa: B008 (frozen)
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Feed the queue to the handler; a queue has one handler."""
        del is_ready  # a handler whose server is away raises Transient to the publisher
        self._handlers[queue] = (handler, limits)

    def listen(self, routing_key: str, listener: Callable[[Message], None]) -> None:
        """Show every message of that routing key to the listener, as a subscriber with a queue of its own would see it."""
        self._listeners[routing_key].append(listener)

    def publish(self, messages: Iterable[Message]) -> None:
        """Return when every message was handled, or dead-lettered. Raises Unroutable, and what Transient a handler raises."""
        by_queue: dict[str, list[Delivery]] = defaultdict(list)
        for message in messages:
            for listener in self._listeners[message.routing_key]:
                listener(message)
            queues = [queue for queue in queues_for(message.exchange, message.routing_key) if queue in self._handlers]
            if not queues and message.mandatory:
                raise Unroutable(
                    f"no handler is subscribed to what {message.exchange!r} routes by {message.routing_key!r}"
                )
            for queue in queues:
                by_queue[queue].append(Delivery(message, queue))
        for queue, deliveries in by_queue.items():
            handler, limits = self._handlers[queue]
            for batch in _batches(deliveries, limits):
                self._handle(handler, batch)

    def _handle(self, handler: Handler, batch: Sequence[Delivery]) -> None:
        rejections = settle(handler, batch)
        if rejections and batch[0].queue == LEDGER_DEAD.name:
            raise Transient(f"a dead letter cannot be filed: {rejections[0].reason}")
        if rejections:
            now = datetime.now(UTC)
            self.publish([dead_letter(rejection, now) for rejection in rejections])

    def run(self, stop: Event) -> None:
        """Wait for `stop`: here publishing is what drives the handlers."""
        stop.wait()

    def flush(self) -> None:
        """Nothing is ever open: a publish returns with its batches closed."""

    def close(self) -> None:
        """Nothing to let go of."""


def _batches(deliveries: Sequence[Delivery], limits: BatchLimits) -> Iterator[list[Delivery]]:
    batch: list[Delivery] = []
    size_bytes = 0
    for delivery in deliveries:
        if batch and (len(batch) >= limits.messages or size_bytes + len(delivery.message.body) > limits.size_bytes):
            yield batch
            batch, size_bytes = [], 0
        batch.append(delivery)
        size_bytes += len(delivery.message.body)
    if batch:
        yield batch
