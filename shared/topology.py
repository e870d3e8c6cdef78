"""Every exchange and queue, in one table. A queue is named for its reader."""

from dataclasses import dataclass
from typing import Final

EXCHANGE: Final = "mailroom"
"""Topic; all messages of the contract."""
DEAD_EXCHANGE: Final = "mailroom.dead"
"""Fanout; whatever could not be handled. Its routing key is the queue that the letter came from."""
DEFAULT_EXCHANGE: Final = ""
"""Routes to the queue that the routing key names; the way back for a replayed letter."""

RAW: Final = "bounce.raw"
VERDICT: Final = "bounce.verdict"
FETCH: Final = "mailbox.fetch"
SUPPRESSED: Final = "address.suppressed"
RELEASED: Final = "address.released"

_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue and what it is bound to."""

    name: str
    exchange: str
    routing_key: str
    max_length_bytes: int | None
    """Beyond it a publish is refused (x-overflow does nothing without a length)."""

    def arguments(self, broker_major: int) -> dict[str, str | int]:
        """What the queue is declared with on a broker of that major version."""
        if self.max_length_bytes is None:
            # Nothing may ever fall out of this one. RabbitMQ 4 has a default limit of 20, which -1 lifts; 3.x refuses -1.
            return {"x-queue-type": "quorum"} | ({"x-delivery-limit": -1} if broker_major >= 4 else {})
        return {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": self.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length-bytes": self.max_length_bytes,
            "x-delivery-limit": 100,
        }


CLASSIFIER_RAW: Final = Queue("classifier.raw", EXCHANGE, RAW, 8 * _GIB)
LEDGER_VERDICTS: Final = Queue("ledger.verdicts", EXCHANGE, VERDICT, 4 * _GIB)
LEDGER_ARCHIVE: Final = Queue("ledger.archive", EXCHANGE, RAW, 8 * _GIB)
FETCHER_REQUESTS: Final = Queue("fetcher.requests", EXCHANGE, FETCH, _GIB // 16)
LEDGER_DEAD: Final = Queue("ledger.dead", DEAD_EXCHANGE, "", None)

QUEUES: Final = (CLASSIFIER_RAW, LEDGER_VERDICTS, LEDGER_ARCHIVE, FETCHER_REQUESTS, LEDGER_DEAD)
EXCHANGES: Final = ((EXCHANGE, "topic"), (DEAD_EXCHANGE, "fanout"))


def queues_for(exchange: str, routing_key: str) -> tuple[str, ...]:
    """The queues that a message reaches; no pattern is bound, so equal keys are all that a topic needs."""
    if exchange == DEFAULT_EXCHANGE:
        return tuple(queue.name for queue in QUEUES if queue.name == routing_key)
    kind = dict(EXCHANGES)[exchange]
    return tuple(
        q.name for q in QUEUES if q.exchange == exchange and (kind == "fanout" or q.routing_key == routing_key)
    )
