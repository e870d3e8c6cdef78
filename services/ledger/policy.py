"""When an address counts as bounced. The one place for limits, windows, weights and resets."""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple


class Severity(IntEnum):
    """How bad a failed send is; of several reports of one send the worst counts."""

    COMPLAINT = -1
    """Outside of the order: it says nothing about whether mail arrives."""
    UNIDENTIFIED = 0
    DELAYED = 1
    SOFT = 2
    HARD = 3


SEVERITIES: Final = {int(severity): severity for severity in Severity}

DECISIVE: Final = (Severity.COMPLAINT.value, Severity.SOFT.value, Severity.HARD.value)
"""What can suppress an address, alone or with others of its kind."""


class State(StrEnum):
    """What senders are told: only `ok` may be mailed."""

    OK = "ok"
    BOUNCED = "bounced"
    SUPPRESSED = "suppressed"


class Policy(NamedTuple):
    """The fifth soft bounce counts as hard; a hard bounce counts at once; nothing else suppresses."""

    soft_limit: int = 5
    complaint_suppresses: bool = False


class Event(NamedTuple):
    """One failed send to one recipient, folded from all its reports."""

    event_id: str
    severity: Severity
    at: datetime
    """When the earliest report of that severity was received."""
    reason: str | None


class Mark(NamedTuple):
    """The latest word of a person on an address."""

    state: str
    """`suppressed` or `released`."""
    made_at: datetime
    released_at: datetime | None
    """The latest release, whatever came after it."""


class Standing(NamedTuple):
    """What an address has come to."""

    state: State = State.OK
    soft: int = 0
    hard: bool = False
    reason: str | None = None
    since: datetime | None = None
    event_id: str | None = None


SUPPRESSED_BY_HAND: Final = "suppressed-by-hand"
COMPLAINT: Final = "complaint"


def judge_address(events: Sequence[Event], policy: Policy, mark: Mark | None = None, more_soft: int = 0) -> Standing:
    """What the events come to, in whatever order they are given.

    An event counts when it was reported after the latest release, else for nothing. Of each severity the earliest
    `soft_limit` events are enough; `more_soft` says how many more of the soft ones there are.
    """
    released_at = mark.released_at if mark else None
    counted = [event for event in events if released_at is None or event.at > released_at]
    if len(counted) > 1:
        counted.sort(key=_by_time)
    soft = [event for event in counted if event.severity == Severity.SOFT]
    hard = [event for event in counted if event.severity == Severity.HARD]
    softs = len(soft) + more_soft
    deciding = hard[:1] + soft[policy.soft_limit - 1 : policy.soft_limit]
    if policy.complaint_suppresses:
        deciding += [event for event in counted if event.severity == Severity.COMPLAINT][:1]
    if mark is not None and mark.state == State.SUPPRESSED:
        return Standing(State.SUPPRESSED, softs, bool(hard), SUPPRESSED_BY_HAND, mark.made_at)
    if not deciding:
        return Standing(soft=softs)
    first = min(deciding, key=_by_time)
    if first.severity == Severity.COMPLAINT:
        return Standing(State.SUPPRESSED, softs, bool(hard), COMPLAINT, first.at, first.event_id)
    return Standing(State.BOUNCED, softs, bool(hard), first.reason, first.at, first.event_id)


def _by_time(event: Event) -> tuple[datetime, str]:
    return event.at, event.event_id
