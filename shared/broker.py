"""The bus on RabbitMQ: quorum queues, confirmed publishes, batches that are acked after their work."""

import threading
from collections.abc import Callable, Iterable
from functools import partial

from shared.amqp import HEARTBEAT_S
from shared.bus import BatchLimits, Handler, Message
from shared.consumer import GIVE_BACK_AFTER_S, Consumer
from shared.publisher import PATIENCE_S, ConfirmingPublisher


class BrokerBus:
    """One connection for publishing and one for each queue that is consumed; all of them reconnect."""

    def __init__(
        self,
        url: str,
        *,
        patience_s: float = PATIENCE_S,
        give_back_after_s: float = GIVE_BACK_AFTER_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._url = url
        self._give_back_after_s = give_back_after_s
        self._heartbeat_s = heartbeat_s
        self._publisher = ConfirmingPublisher(url, patience_s, heartbeat_s)
        self._consumers: list[Consumer] = []

    def publish(self, messages: Iterable[Message]) -> None:
        """Return when the broker has confirmed every message. Safe to call from any thread."""
        self._publisher.publish(messages)

    def subscribe(
        self,
        queue: str,
        handler: Handler,
        limits: BatchLimits = BatchLimits(),  # noqa: B008 (frozen)
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Feed the queue to the handler, in a thread of its own, once `run` is called and while `is_ready`."""
        self._consumers.append(
            Consumer(
                self._url,
                queue,
                handler,
                self._publisher,
                limits=limits,
                is_ready=is_ready,
                beat=self._publisher.beat,
                give_back_after_s=self._give_back_after_s,
                heartbeat_s=self._heartbeat_s,
            )
        )

    def run(self, stop: threading.Event) -> None:
        """Consume every subscribed queue until `stop`. Raises the first error that no waiting can mend."""
        failures: list[BaseException] = []

        def consume(consumer: Consumer) -> None:
            try:
                consumer.run(stop)
            except BaseException as exc:  # noqa: BLE001 (raised again by run)
                failures.append(exc)
                stop.set()  # the others finish what they have in hand; then the process ends for its supervisor

        threads = [
            threading.Thread(target=consume, args=(consumer,), name=f"consumer of {consumer.queue_name}")
            for consumer in self._consumers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    @property
    def is_consuming(self) -> bool:
        """Every queue is being fed to its handler right now."""
        return all(consumer.is_consuming for consumer in self._consumers)

    @property
    def checks(self) -> dict[str, Callable[[], bool]]:
        """For readiness: what is waited for, and whether it is there."""
        return {f"messages from {consumer.queue_name}": partial(_is_fed, consumer) for consumer in self._consumers}

    def stalled(self) -> str:
        """The queue whose work in hand has not moved for longer than its handler may stand still, in words; else ''."""
        for consumer in self._consumers:
            if (still_s := consumer.progress.still_s()) > consumer.limits.still_s:
                return f"what was taken from {consumer.queue_name} has not moved for {still_s:.0f} s"
        return ""

    def flush(self) -> None:
        """Close the batches that are open now."""
        for consumer in self._consumers:
            consumer.flush()

    def close(self) -> None:
        """Say goodbye to the broker."""
        self._publisher.close()


def _is_fed(consumer: Consumer) -> bool:
    return consumer.is_consuming
