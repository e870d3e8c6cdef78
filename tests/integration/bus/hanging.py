"""A service whose handler hangs at the message `hang`; started as a process of its own: URL of the broker, seconds."""

import sys
import threading
from collections.abc import Sequence

from shared import logs
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Delivery
from shared.service import run_service, stop_on_signals, watched
from shared.topology import FETCHER_REQUESTS


def hang(deliveries: Sequence[Delivery]) -> list[object]:
    if any(delivery.message.body == b"hang" for delivery in deliveries):
        threading.Event().wait()
    return []


def serve() -> None:
    logs.configure("hanging")
    bus = BrokerBus(sys.argv[1])
    bus.subscribe(FETCHER_REQUESTS.name, hang, BatchLimits(messages=1, still_s=float(sys.argv[2])))
    with watched(bus.stalled):
        bus.run(stop_on_signals())


if __name__ == "__main__":
    sys.exit(run_service("hanging", serve))
