"""Asking the fetchers to read an account now, held for review or not."""

import uuid
from datetime import UTC, datetime
from typing import Protocol

from shared.bus import Publisher
from shared.errors import Transient
from shared.wire import fetch_request_message


class Holds(Protocol):
    """Where held runs are written; the ledger's."""

    def hold(self, run_id: str) -> None:
        """Before the request is published."""

    def drop(self, run_id: str, who: str, why: str) -> str:
        """A run that nobody will ever fetch."""


def ask(publisher: Publisher, account: str, holds: Holds | None = None, who: str = "") -> str:
    """The id of a run whose request is confirmed. With `holds` it counts for nothing until a person applies it.

    Raises Transient when the broker cannot be told; then there is no such run.
    """
    run_id = uuid.uuid4().hex
    if holds is not None:
        holds.hold(run_id)
    try:
        ask_again(publisher, account, run_id)
    except Transient:
        if holds is not None:
            holds.drop(run_id, who, "its request could not be published")
        raise
    return run_id


def ask_again(publisher: Publisher, account: str, run_id: str) -> None:
    """For the rest of a run. Raises Transient when the broker cannot be told."""
    message = fetch_request_message(
        {"schema_version": 1, "account": account, "run_id": run_id, "requested_at": datetime.now(UTC)}
    )
    publisher.publish([message])
