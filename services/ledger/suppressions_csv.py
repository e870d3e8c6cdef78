"""The list of suppressions as CSV: safe to open in a spreadsheet, and read back exactly as it was."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, TextIO

from services.ledger.marking import Wish
from services.ledger.policy import State
from shared.addresses import normalise_address
from shared.contacts import find_column, guess_delimiter, harmless, plain_names, read_address, read_head, restored
from shared.errors import ConfigurationError, InvalidAddress

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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row without a valid address or state, by its first line."""

    line: int
    cause: str


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
    stream = iter(lines)
    first_line = next(stream, "")
    if not first_line.strip():
        raise ConfigurationError(f"{where} is empty; a CSV with a head line was expected")
    # Strict: a quote that is never closed is an error, and does not swallow the rows after it in silence.
    reader = csv.reader(chain([first_line], stream), delimiter=guess_delimiter(first_line), strict=True)
    head = read_head(reader, where)
    names = plain_names(head)
    index = find_column(head, column)
    is_own = names.count("address") == 1 and index == names.index("address") and set(names) >= _OWN
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            lines_read = f" up to line {reader.line_num}" if reader.line_num > line else ""
            yield Unreadable(line, f"this is not CSV, and was not read{lines_read}: {exc}")
            continue
        if not row:
            continue
        try:
            yield _own_wish(dict(zip(names, row, strict=False)), line, why) if is_own else _wish(row, index, why)
        except InvalidAddress as exc:
            yield Unreadable(line, str(exc))


def _wish(row: list[str], index: int, why: str) -> Wish:
    return Wish(read_address(row[index] if index < len(row) else ""), why)


def _own_wish(cells: dict[str, str], line: int, why: str) -> Wish | Passed | Unreadable:
    recipient = normalise_address(restored(cells.get("address", "")))
    state = restored(cells.get("state", ""))
    if state not in set(State):
        return Unreadable(line, f"its state is {state!r}, not one of {', '.join(State)}")
    if state == State.OK:
        return Passed(line)
    told = [restored(cells[name]) for name in ("reason", "since", "why") if cells.get(name)]
    return Wish(recipient, f"{why} (there: {', '.join([state, *told])})", state == State.BOUNCED)
