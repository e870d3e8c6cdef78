"""The bus without a broker for several threads: some queues are worked in their own time, all others at once."""

import queue
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from shared.bus import BatchLimits, Delivery, Handler, Message, Rejection, dead_letter, settle
from shared.errors import Transient
from shared.local_bus import LocalBus

_LOOK_UP_S: Final = 0.2
TRY_AGAIN_S: Final = 2.0

log = structlog.get_logger(__name__)


class ThreadedBus:
    """A LocalBus that one thread at a time publishes on; what goes to a queue of `deferred` is handled by `run`.

    What waits there is lost with the process: it has to be something that is asked for again.
    """

    def __init__(self, deferred: Collection[str], try_again_s: float = TRY_AGAIN_S) -> None:
        self._try_again_s = try_again_s
        self._bus = LocalBus()
        self._lock = threading.RLock()
        self._handlers: dict[str, Handler] = {}
        self._waiting: dict[str, queue.SimpleQueue[Delivery]] = {name: queue.SimpleQueue() for name in deferred}

    def subscribe(
        self,
        queue: str,
        handler: Handler,
        limits: BatchLimits = BatchLimits(),  # noqa: B008 (frozen)
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Feed the queue to the handler; a queue has one handler."""
        if queue in self._waiting:
            self._handlers[queue] = handler
            self._bus.subscribe(queue, self._defer, limits, is_ready)
        else:
            self._bus.subscribe(queue, handler, limits, is_ready)

    def publish(self, messages: Iterable[Message]) -> None:
        """Return when every message was handled, dead-lettered, or put on a deferred queue. Raises as LocalBus does."""
        with self._lock:
            self._bus.publish(messages)

    def depths(self) -> dict[str, int]:
        """Messages that wait, by deferred queue."""
        return {name: waiting.qsize() for name, waiting in self._waiting.items()}

    def run(self, stop: threading.Event) -> None:
        """Work the deferred queues, each in a thread of its own, until `stop`; then the work in hand is finished."""
        threads = [
            threading.Thread(target=self._work, args=(name, stop), name=f"consumer of {name}")
            for name in self._handlers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def beat(self) -> None:
        """There is no connection to keep alive."""

    def flush(self) -> None:
        """Nothing is ever open."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _defer(self, deliveries: Sequence[Delivery]) -> Sequence[Rejection]:
        for delivery in deliveries:
            self._waiting[delivery.queue].put(delivery)
        return []

    def _work(self, name: str, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                delivery = self._waiting[name].get(timeout=_LOOK_UP_S)
            except queue.Empty:
                continue
            try:
                rejections = settle(self._handlers[name], [delivery])
                self.publish([dead_letter(rejection, datetime.now(UTC)) for rejection in rejections])
            except Exception as exc:
                # Whatever it is: a delivery that was let go of here would be lost, and nobody would know.
                if isinstance(exc, Transient):
                    log.warning("handled_again_later", queue=name, cause=str(exc))
                else:
                    log.exception("handled_again_later", queue=name)
                self._waiting[name].put(delivery)
                stop.wait(self._try_again_s)
