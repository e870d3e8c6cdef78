"""Whether an account is well: pure rules over what is known of its passes. Every time, `now` too, is the database's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SILENT_INTERVALS: Final = 4
SILENT_AT_LEAST: Final = timedelta(hours=1)


class Condition(StrEnum):
    """What a person is told of an account."""

    WELL = "well"
    WORKING = "working"
    """A fetcher is in the mailbox now."""
    NEW = "not fetched yet"
    FAILING = "failing"
    """The last pass ended with an error."""
    SILENT = "silent"
    """It should have been fetched, and was not."""
    ON_REQUEST = "only when asked"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Passes:
    """What is known of the passes over one account."""

    account: str
    is_active: bool
    interval: timedelta
    """0: only when asked."""
    since: datetime
    """Since when it is scheduled without a pause; while no scheduler has seen it, since when it exists."""
    next_at: datetime | None
    """When it is asked for next."""
    succeeded_at: datetime | None
    """The end of the last pass that came to its end."""
    tried_at: datetime | None
    """The beginning of the last pass."""
    has_failed: bool
    """The last pass ended with an error before its end."""
    last_error: str | None
    """Of the last pass, with what to do about it; also of one that came to its end."""
    is_worked_on: bool
    """A fetcher is in the mailbox now."""
    is_told: bool
    """A person was told that it is not well, and it has not been well since."""


def judge(passes: Passes, now: datetime, silent_after: timedelta | None = None) -> tuple[Condition, bool]:
    """Its condition, and whether a person should know: no pass has come to its end for `silent_after`.

    By default four intervals, at least an hour. A mailbox that a fetcher is in is given the time that it takes; but what was
    told stands until a pass has come to its end.
    """
    if not passes.is_active:
        return Condition.PAUSED, False
    if not passes.interval:
        return (Condition.FAILING if passes.has_failed else Condition.ON_REQUEST), False
    if silent_after is None:
        silent_after = max(SILENT_AT_LEAST, SILENT_INTERVALS * passes.interval)
    is_late = now - max(passes.since, passes.succeeded_at or passes.since) > silent_after
    if passes.is_worked_on:
        return Condition.WORKING, is_late and passes.is_told
    if passes.has_failed:
        return Condition.FAILING, is_late
    if is_late:
        return Condition.SILENT, True
    return (Condition.NEW if passes.succeeded_at is None else Condition.WELL), False
