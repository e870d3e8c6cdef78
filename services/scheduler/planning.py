"""When an account is asked for: pure rules. Every time, `now` too, is the database's."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

FIRST_WITHIN: Final = timedelta(minutes=5)
"""A new account is asked for within so long, also when its interval is a day."""
LONGEST_PATIENCE: Final = timedelta(days=1)
LEASE_AT_MOST: Final = timedelta(minutes=5)
"""A lease that seems to hold for longer was written by a clock that is ahead, and says nothing."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan for one account, and the last request that was put on the queue."""

    account: str
    interval: timedelta
    """The one that it was planned with."""
    since: datetime
    """When it was first planned, or again after a pause."""
    planned_at: datetime
    """When `next_at` was decided."""
    next_at: datetime
    requested_at: datetime | None = None
    run_id: str | None = None
    puts: int = 0
    """How often it was asked for since a run of it began."""


class Progress(Enum):
    """How far the run of the last request has come."""

    NOT_BEGUN = 1
    BEGUN = 2
    ENDED = 3
    """Finished, or given up with an error."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of one active account that has an interval."""

    account: str
    interval: timedelta
    schedule: Schedule | None = None
    progress: Progress = Progress.NOT_BEGUN
    leased_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written, if the row is still what it was; with `is_request`, after a request of that run was confirmed."""

    before: Schedule | None
    after: Schedule
    is_request: bool = False

    @property
    def account(self) -> str:
        """Whose plan it is."""
        return self.after.account


def phase(account: str) -> float:
    """Where in its interval an account has its place, in [0, 1): its own, always the same, and evenly spread over many."""
    return int.from_bytes(hashlib.sha256(account.encode()).digest()[:6]) / 2**48


def first_time(account: str, interval: timedelta, now: datetime) -> datetime:
    """When to begin with an account that is new, or late through no fault of its own."""
    return now + phase(account) * min(interval, FIRST_WITHIN)


def next_time(account: str, interval: timedelta, asked_at: datetime) -> datetime:
    """Its place in the interval, the first that is at least half an interval after it was last asked for."""
    earliest = asked_at + interval / 2
    passed = (earliest - _EPOCH - phase(account) * interval) % interval
    return earliest + (interval - passed) % interval


def patience(interval: timedelta, puts: int) -> timedelta:
    """How long a request may wait for its first slice: two intervals, then twice as long each time, up to a day.

    So the requests of a long outage of the fetchers do not pile up.
    """
    longest = max(2 * interval, LONGEST_PATIENCE)
    doublings = min(max(puts, 1), _MOST_DOUBLINGS)
    return min(interval * (1 << doublings), longest)


def plan(known: Known, now: datetime, new_run_id: Callable[[], str]) -> Change | None:
    """What is to be done for an account now: None when there is nothing."""
    account, interval, before = known.account, known.interval, known.schedule
    if before is None:
        return Change(None, Schedule(account, interval, now, now, first_time(account, interval, now)))
    if interval != before.interval or before.planned_at > now:
        return Change(before, _plan_again(before, interval, now))
    if before.next_at > now or _is_worked_on(known, now):
        return None
    if before.requested_at is None:
        puts = 1
    elif known.progress == Progress.NOT_BEGUN:
        puts = before.puts + 1
        if now < before.requested_at + patience(interval, before.puts):
            return None
    else:
        puts = 1
        if known.progress == Progress.BEGUN and now < before.requested_at + patience(interval, 1):
            return None
    after = replace(
        before,
        planned_at=now,
        next_at=next_time(account, interval, now),
        requested_at=now,
        run_id=new_run_id(),
        puts=puts,
    )
    return Change(before, after, is_request=True)


def _plan_again(schedule: Schedule, interval: timedelta, now: datetime) -> Schedule:
    """A plan that was made with another interval, or by a clock that was ahead of this one, as it should be."""
    next_at = first_time(schedule.account, interval, now)
    asked_at = schedule.requested_at
    if asked_at is not None:
        asked_at = min(asked_at, now)
        next_at = max(next_at, next_time(schedule.account, interval, asked_at))
    return replace(
        schedule,
        interval=interval,
        since=min(schedule.since, now),
        planned_at=now,
        next_at=next_at,
        requested_at=asked_at,
    )


def _is_worked_on(known: Known, now: datetime) -> bool:
    return known.leased_until is not None and now < known.leased_until < now + LEASE_AT_MOST
