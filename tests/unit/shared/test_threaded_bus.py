"""The bus of one process: what waits in it is worked until it is done."""

import threading
from collections.abc import Sequence

import pytest

from shared.bus import Delivery, Message, Rejection
from shared.errors import ConfigurationError, Transient
from shared.threaded_bus import ThreadedBus
from shared.topology import EXCHANGE, FETCH, FETCHER_REQUESTS


@pytest.mark.parametrize("trouble", [Transient("the server is away"), ConfigurationError("no key"), RuntimeError("?")])
def test_a_delivery_stays_until_it_was_handled(trouble: Exception) -> None:
    bus = ThreadedBus([FETCHER_REQUESTS.name], try_again_s=0.01)
    stop = threading.Event()
    seen: list[bytes] = []

    def stumbling(deliveries: Sequence[Delivery]) -> Sequence[Rejection]:
        seen.extend(delivery.message.body for delivery in deliveries)
        if len(seen) > 1:
            stop.set()
            return []
        raise trouble

    bus.subscribe(FETCHER_REQUESTS.name, stumbling)
    bus.publish([Message(EXCHANGE, FETCH, b"the bounces of weekly", "text/plain")])
    working = threading.Thread(target=bus.run, args=(stop,))
    working.start()
    working.join(timeout=10)
    try:
        assert not working.is_alive(), "it was let go of"
    finally:
        stop.set()
    assert seen == [b"the bounces of weekly"] * 2
