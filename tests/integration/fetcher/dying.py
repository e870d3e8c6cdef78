"""A fetcher in a process of its own, killed while it publishes."""

import os
import signal
from collections.abc import Sequence

from services.fetcher.accounts import Account, Accounts
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import FetchHandler
from services.fetcher.store_sql import SqlCheckpoint
from shared.bus import BatchLimits, Delivery, Rejection
from shared.local_bus import LocalBus
from shared.tables import connect
from shared.topology import CLASSIFIER_RAW, FETCHER_REQUESTS
from shared.wire import fetch_request_message
from tests.integration.fetcher.ledger import LONG_AGO


def fetch_and_die(url: str, account: Account, windows: int) -> None:
    """SIGKILL comes after the publishing of that many windows, before the last of them is in the checkpoint."""
    bus = LocalBus()
    published = 0

    def die(_batch: Sequence[Delivery]) -> list[Rejection]:
        nonlocal published
        published += 1
        if published == windows:
            os.kill(os.getpid(), signal.SIGKILL)
        return []

    handler = FetchHandler(
        Accounts({account.name: account}),
        SqlCheckpoint(connect(url)),
        bus,
        holder="the killed one",
        wait=lambda _seconds: False,
        clock=lambda: LONG_AGO,
        limits=SliceLimits(window_mails=2),
    )
    bus.subscribe(CLASSIFIER_RAW.name, die)
    bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
    request = {"schema_version": 1, "account": account.name, "run_id": "run-1", "requested_at": LONG_AGO}
    bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]
