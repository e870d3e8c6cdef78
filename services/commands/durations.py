"""Times in words that a person reads, or writes."""

import re
from datetime import datetime, timedelta
from typing import Any, Final

import click

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_TWICE: Final = 2
_WRITTEN: Final = re.compile(r"(\d{1,9})([smhd])")
_SECONDS: Final = {unit[0]: size for unit, size in _UNITS}


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """A number with a unit, as in `90m`."""
        found = _WRITTEN.fullmatch(str(value).strip().lower())
        if found is None or int(found[1]) * _SECONDS[found[2]] > _LONGEST_S:
            self.fail(f"{value!r} is no time: write a number and s, m, h or d, as in 90m or 7d", param, ctx)
        return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


DURATION: Final = _Duration()
_LONGEST_S: Final = 100 * 365 * 86_400


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
