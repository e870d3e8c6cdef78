"""Runs as the pages and the API show and decide them."""

import time
from dataclasses import asdict
from typing import Any, Final

from services.console.backing import backing
from services.fetcher.asking import ask
from services.scheduler.passes_sql import read_run
from shared.errors import Transient
from shared.tables.ledger import APPLIED, APPLYING, DROPPED, HELD

_PATIENCE_S: Final = 5.0
"""So long a request judges addresses anew; a ledger does the rest."""


def progress_of(run_id: str) -> dict[str, Any] | None:
    """Where a run is, and what it found so far; None when nobody knows of it."""
    held = backing().runs.state(run_id)
    seen = read_run(backing().engine, run_id)
    if held is None and seen is None:
        return None
    tally = backing().run_tallies.of(run_id)
    state = held.state if held else None
    is_read = seen is not None and seen.fetched_at is not None and not tally.waiting
    return {
        "run_id": run_id,
        "account": seen.account if seen else None,
        "state": state,
        "phase": _phase(state, has_begun=seen is not None, is_read=is_read),
        "is_live": state in (HELD, None) and not is_read and not (seen and seen.last_error),
        "error": seen.last_error if seen else None,
        "found": tally.found,
        "judged": tally.found - tally.waiting,
        **asdict(tally),
    }


def apply_run(run_id: str, who: str, why: str) -> bool:
    """Let it count, and ask for the pass that cleans the mailbox; False when the broker could not be asked.

    Raises ConfigurationError for a run that cannot be applied.
    """
    runs = backing().runs
    if runs.apply(run_id, who, why) != APPLIED:
        give_up_at = time.monotonic() + _PATIENCE_S
        for changes in runs.settle(run_id):
            backing().marking.tell(changes)
            if time.monotonic() > give_up_at:
                break
    seen = read_run(backing().engine, run_id)
    try:
        if seen is not None:
            ask(backing().publisher, seen.account)
    except Transient:
        return False
    return True


def _phase(state: str | None, *, has_begun: bool, is_read: bool) -> str:
    if state in (APPLYING, APPLIED, DROPPED):
        return state
    if not has_begun:
        return "asked for"
    return "found" if is_read else "reading"
