"""The list of suppressions as CSV: safe to open in a spreadsheet, and read back exactly as it was."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TextIO

from services.ledger.marking import Wish
from services.ledger.policy import State
from shared.addresses import normalise_address
from shared.contacts import Unreadable, harmless, plain_names, read_address, read_sheet, restored
from shared.errors import InvalidAddress

COLUMNS: Final = ("address", "state", "reason", "since", "soft", "hard", "why", "who")

_OWN: Final = frozenset(COLUMNS[:5])


@dataclass(frozen=True, slots=True)
class Listed:
    """An address as it stands."""

    recipient: str
    state: State
    reason: str | None
    since: datetime | None
    soft: int
    hard: bool
    why: str | None = None
    """The latest word of a person, where that decided."""
    who: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """A row that names an address which may be mailed."""

    line: int


def write_head(file: TextIO) -> None:
    """The names of the columns."""
    _writer(file).writerow(COLUMNS)


def write_rows(file: TextIO, rows: Iterable[Listed]) -> None:
    """One line an address."""
    _writer(file).writerows([harmless(cell) for cell in _cells(row)] for row in rows)


def _writer(file: TextIO) -> Any:
    return csv.writer(file, lineterminator="\n")


def _cells(row: Listed) -> tuple[str, ...]:
    return (
        row.recipient,
        row.state.value,
        _one_line(row.reason),
        row.since.isoformat() if row.since else "",
        str(row.soft),
        "yes" if row.hard else "no",
        _one_line(row.why),
        _one_line(row.who),
    )


def _one_line(text: str | None) -> str:
    """What people and mails wrote must not break a line for tools that read line by line."""
    return " ".join((text or "").split())


def read_wishes(
    lines: Iterable[str], why: str, column: str | None = None, where: str = "the file"
) -> Iterator[Wish | Passed | Unreadable]:
    """What every row asks for: of our own export, or of any CSV with a column of addresses.

    The lines keep their ends. A row that cannot be read is told, and the next ones are read. Raises ConfigurationError
    when there is no such column.
    """
    sheet = read_sheet(lines, column, where)
    names = plain_names(sheet.head)
    is_own = names.count("address") == 1 and sheet.column == names.index("address") and set(names) >= _OWN
    for row in sheet.rows:
        if isinstance(row, Unreadable):
            yield row
            continue
        try:
            if is_own:
                yield _own_wish(dict(zip(names, row.cells, strict=False)), row.line, why)
            else:
                yield Wish(read_address(row.address), why)
        except InvalidAddress as exc:
            yield Unreadable(row.line, str(exc))


def _own_wish(cells: dict[str, str], line: int, why: str) -> Wish | Passed | Unreadable:
    recipient = normalise_address(restored(cells.get("address", "")))
    state = restored(cells.get("state", ""))
    if state not in set(State):
        return Unreadable(line, f"its state is {state!r}, not one of {', '.join(State)}")
    if state == State.OK:
        return Passed(line)
    told = [restored(cells[name]) for name in ("reason", "since", "why") if cells.get(name)]
    return Wish(recipient, f"{why} (there: {', '.join([state, *told])})", state == State.BOUNCED)
