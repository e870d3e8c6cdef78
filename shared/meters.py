"""Every figure that the services show at /metrics, in one table (Prometheus). What a service never does stays absent.

They are counted where effects are: in consumers, publishers and handlers, never in rules. What is read from a database or a
broker at each look (`watch_on_scrape`) is not stored here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry()
_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

# Every consumer
BATCHES: Final = Histogram(
    "mailroom_batch_seconds", "From handing a batch out to its end", ["queue"], buckets=_SECONDS, registry=REGISTRY
)
MESSAGES: Final = Counter("mailroom_messages", "Messages settled", ["queue", "result"], registry=REGISTRY)
"""`result`: done, dead_lettered."""
GIVEN_BACK: Final = Counter(
    "mailroom_batches_given_back",
    "Batches that the broker got back after a minute of waiting",
    ["queue"],
    registry=REGISTRY,
)
RETRIES: Final = Counter(
    "mailroom_batch_retries", "Batches begun again because a server was away", ["queue"], registry=REGISTRY
)
RECONNECTS: Final = Counter(
    "mailroom_consumer_disconnects", "Connections that a consumer lost or gave up", ["queue"], registry=REGISTRY
)
OLDEST: Final = Gauge(
    "mailroom_oldest_message_seconds",
    "Since when the oldest message of the last batch had been waiting as it was handed out",
    ["queue"],
    registry=REGISTRY,
)
"""As long as messages keep coming, the age of the head of the queue: it is handed out in order."""

# Every publisher
PUBLISHED: Final = Counter(
    "mailroom_published", "Messages that the broker confirmed", ["routing_key"], registry=REGISTRY
)
CONFIRMS: Final = Histogram(
    "mailroom_confirm_seconds", "From writing a window to its last confirm", buckets=_SECONDS, registry=REGISTRY
)
PUBLISH_RETRIES: Final = Counter("mailroom_publish_retries", "Windows published again", registry=REGISTRY)

# Classifier
JUDGED: Final = Counter("mailroom_judged", "Mails judged", ["kind", "verdict"], registry=REGISTRY)
OUTCOMES: Final = Counter("mailroom_outcomes", "Recipients judged", ["verdict", "reason"], registry=REGISTRY)

# Ledger
CHANGES: Final = Counter("mailroom_address_changes", "Addresses that changed", ["state"], registry=REGISTRY)

# Fetcher
FETCHED: Final = Counter("mailroom_fetched", "Mails read and published", ["account"], registry=REGISTRY)
CLEANED: Final = Counter("mailroom_cleaned", "Mails removed from a mailbox", ["account"], registry=REGISTRY)
MAILBOX_FAILURES: Final = Counter(
    "mailroom_mailbox_failures", "Runs that a mailbox ended", ["account", "error"], registry=REGISTRY
)

# Scheduler
ACCOUNTS: Final = Gauge("mailroom_accounts", "Bounce accounts by how they are", ["condition"], registry=REGISTRY)
ACCOUNT_ALERTS: Final = Gauge(
    "mailroom_account_alert", "1 for an account that a person should look at", ["account"], registry=REGISTRY
)

# Classifier and ledger
STAGES: Final = Histogram(
    "mailroom_stage_seconds", "Parts of the work on a batch", ["stage"], buckets=_SECONDS, registry=REGISTRY
)
"""`stage`: judge, publish_verdicts, record, project, archive."""

Readings = Mapping[tuple[str, ...], float]
"""Values by label values."""


class _Watched(Collector):
    def __init__(self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], Readings | None]) -> None:
        self._name = name
        self._help = help_text
        self._labels = labels
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        readings = self._read()
        if readings is None:
            return
        gauge = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in readings.items():
            gauge.add_metric(labels, value)
        yield gauge


def watch_on_scrape(
    name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], Readings | None]
) -> Collector:
    """A gauge that is read anew at each look; None where it cannot be read now. To be unregistered at the end."""
    watched = _Watched(name, help_text, labels, read)
    REGISTRY.register(watched)
    return watched
