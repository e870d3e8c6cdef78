"""The port between a service and whatever carries its messages: RabbitMQ, or this process itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from typing import Final, Protocol

import structlog

from shared.errors import ConfigurationError, Permanent, Transient
from shared.progress import STILL_S
from shared.topology import DEAD_EXCHANGE, LEDGER_DEAD

HeaderValue = str | int | bool | float | None

REASON_HEADER: Final = "x-mailroom-reason"
QUEUE_HEADER: Final = "x-mailroom-queue"
FAILED_AT_HEADER: Final = "x-mailroom-failed-at"
UNREADABLE_HEADER: Final = "x-mailroom-unreadable"
"""In place of properties that nobody could decode, with the cause."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What travels. `timestamp` has a resolution of one second on AMQP."""

    exchange: str
    routing_key: str
    body: bytes
    content_type: str
    type: str = ""
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    message_id: str | None = None
    timestamp: datetime | None = None
    mandatory: bool = True
    """A message that reaches no queue is an error."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that arrived on a queue, until it is settled."""

    message: Message
    queue: str
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """A delivery that no retry can help, and why; the reason is for a person to read."""

    delivery: Delivery
    reason: str


Handler = Callable[[Sequence[Delivery]], Sequence[Rejection]]
"""Takes one batch, makes its effects durable, and returns what must be dead-lettered.

Raises Transient when a server is unreachable: the whole batch is handed in again later. Whatever it returns from is acked.
"""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch closes at whichever comes first."""

    messages: int = 500
    size_bytes: int = 16 * 1024 * 1024
    quiet_s: float = 0.05
    longest_s: float = 1.0
    """A trickle that is never quiet does not keep its first message waiting."""
    still_s: float = STILL_S
    """A handler that has not moved for so long hangs."""
    in_work: int = 1
    """Batches that are at the handler at once, each in a thread of its own; they are acked in the order of their arrival."""


class Unroutable(Transient):
    """A mandatory message reached no queue, or a queue at its length limit refused it."""


class BrokerUnreachable(Transient):
    """No broker, or one that does not answer in time."""


class Publisher(Protocol):
    """Where messages go."""

    def publish(self, messages: Iterable[Message]) -> None:
        """Return when every message is safe: confirmed by the broker, or handled in this process.

        Raises Transient when that could not be had; some may have got through, and publishing all again is right.
        """


class Bus(Publisher, Protocol):
    """Publishes, and feeds handlers."""

    def subscribe(
        self, queue: str, handler: Handler, limits: BatchLimits = ..., is_ready: Callable[[], bool] = ...
    ) -> None:
        """Feed the queue's messages to the handler in batches; `is_ready` says whether its servers answer."""

    def run(self, stop: Event) -> None:
        """Consume until `stop` is set, then finish what is in flight."""

    def flush(self) -> None:
        """Close the batches that are open now instead of waiting for more."""

    def close(self) -> None:
        """Let go of every connection."""


def settle(handler: Handler, batch: Sequence[Delivery]) -> list[Rejection]:
    """Run the handler over a batch, so that a defect in it costs the one message that met it, never its neighbours.

    Raises Transient as the handler does, and ConfigurationError, for which no message is to blame.
    """
    try:
        return list(handler(batch))
    except (Transient, ConfigurationError):
        raise
    except Permanent as exc:
        if len(batch) == 1:
            return [Rejection(batch[0], str(exc))]
    except Exception as exc:
        log.exception("handler_failed", queue=batch[0].queue, messages=len(batch))
        if len(batch) == 1:
            return [Rejection(batch[0], f"unexpected {type(exc).__name__}: {exc}")]
    return [rejection for delivery in batch for rejection in settle(handler, [delivery])]


def dead_letter(rejection: Rejection, now: datetime) -> Message:
    """The message that carries a rejected delivery to the dead letters, with the reason and the way back."""
    message = rejection.delivery.message
    if rejection.delivery.queue == LEDGER_DEAD.name:
        # It could not even be filed. It stays what it is, or its own reason and way back were lost.
        return replace(message, exchange=DEAD_EXCHANGE, mandatory=True)
    return replace(
        message,
        exchange=DEAD_EXCHANGE,
        routing_key=rejection.delivery.queue,
        mandatory=True,
        headers={
            **message.headers,
            REASON_HEADER: " ".join(rejection.reason.split())[:1000],
            QUEUE_HEADER: rejection.delivery.queue,
            FAILED_AT_HEADER: now.isoformat(),
        },
    )
