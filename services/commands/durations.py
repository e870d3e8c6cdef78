"""Times in words that a person reads."""

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_TWICE: Final = 2


def in_words(duration: timedelta) -> str:
    """Rounded down to one unit, of which there are at least two: `90 minutes`, `2 hours`, `45 seconds`."""
    seconds = int(duration.total_seconds())
    for unit, size in _UNITS:
        if seconds >= _TWICE * size:
            return f"{seconds // size:,} {unit}s"
    return "1 second" if seconds == 1 else "0 seconds"


def since(time: datetime | None, now: datetime) -> str:
    """`3 hours ago`, `just now`, `never`."""
    if time is None:
        return "never"
    return "just now" if now - time < timedelta(seconds=2) else f"{in_words(now - time)} ago"


def until(time: datetime | None, now: datetime) -> str:
    """`in 3 hours`, `now`; nothing when there is no such time."""
    if time is None:
        return ""
    return "now" if time - now < timedelta(seconds=2) else f"in {in_words(time - now)}"
