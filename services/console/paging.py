"""Pages of rows in the order of a key: the next page begins after the last row of this one, however many there are. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, Self, TypeVar

Row = TypeVar("Row")

_DIGITS: Final = 18
"""What a database's integer holds in any case."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and where the next begin."""

    rows: Sequence[Row]
    after: dict[str, str] | None
    """Arguments of the link to the next page; None on the last."""

    @classmethod
    def of(cls, found: Sequence[Row], size: int, key: Callable[[Row], Sequence[object]]) -> Self:
        """Of rows that were read with one more than a page holds, which tells whether there is a next."""
        rows = found[:size]
        if len(found) <= size:
            return cls(rows, None)
        return cls(rows, {f"after{number}": str(part) for number, part in enumerate(key(rows[-1]))})


def after_of(arguments: Mapping[str, str], parts: int) -> tuple[str, ...] | None:
    """The key that a page begins after; None for the first page."""
    given = tuple(arguments.get(f"after{number}", "") for number in range(parts))
    return given if "after0" in arguments else None


def moment_after(arguments: Mapping[str, str]) -> tuple[datetime, str] | None:
    """The key of a page in order of time; None for the first page, and for what is no such key."""
    given = after_of(arguments, 2)
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given[0])
        return (at.astimezone(UTC), given[1]) if at.tzinfo else None
    except (ValueError, OverflowError):  # the first and the last day that there are, in another zone
        return None


def number_after(arguments: Mapping[str, str]) -> int | None:
    """The key of a page in order of a number; None for the first page, and for what is no such key."""
    given = arguments.get("after0", "")
    is_number = given.isascii() and given.isdigit() and len(given) <= _DIGITS
    return int(given) if is_number else None
