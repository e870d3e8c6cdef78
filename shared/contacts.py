"""Lists of contacts as CSV: which column holds the addresses, and cells that spreadsheets leave alone."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from shared.addresses import normalise_address
from shared.errors import ConfigurationError, InvalidAddress

COLUMN_NAMES: Final = ("email", "e-mail", "address", "email address", "e-mail address", "mail")

_TEXT: Final = "'"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet reads a cell that begins so as a formula; in some languages also the full-width forms."""


class Row(NamedTuple):
    """A row below the head."""

    line: int
    """Its first."""
    cells: list[str]
    address: str
    """The cell in the column of addresses, as it stands there; empty when the row is shorter."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is no CSV, or without what was looked for, by its first line."""

    line: int
    cause: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV that has a column of addresses."""

    head: list[str]
    delimiter: str
    column: int
    rows: Iterator[Row | Unreadable]


def read_sheet(lines: Iterable[str], column: str | None, where: str) -> Sheet:
    """Anybody's CSV, whose lines keep their ends. After a row that is no CSV the next ones are read.

    Raises ConfigurationError, which names `where`, for what is empty or no CSV, and without a column of addresses.
    """
    stream = iter(lines)
    first_line = next(stream, "")
    if not first_line.strip():
        raise ConfigurationError(f"{where} is empty; a CSV with a head line was expected")
    delimiter = guess_delimiter(first_line)
    # Strict: a quote that is never closed is an error, and does not swallow the rows after it in silence.
    reader = csv.reader(chain([first_line], stream), delimiter=delimiter, strict=True)
    head = _read_head(reader, where)
    index = find_column(head, column)
    return Sheet(head, delimiter, index, _rows(reader, index))


def read_addresses(sheet: Sheet) -> Iterator[tuple[Row, str] | Unreadable]:
    """Each row with its address, normalised; or what is wrong with the row."""
    for row in sheet.rows:
        try:
            yield row if isinstance(row, Unreadable) else (row, read_address(row.address))
        except InvalidAddress as exc:
            yield Unreadable(row.line, str(exc))


def _rows(reader: Any, column: int) -> Iterator[Row | Unreadable]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            lines_read = f" up to line {reader.line_num}" if reader.line_num > line else ""
            yield Unreadable(line, f"this is not CSV, and was not read{lines_read}: {exc}")
            continue
        if cells:
            yield Row(line, cells, cells[column] if column < len(cells) else "")


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; `restored` gives back what it was."""
    return _TEXT + cell if cell.startswith((*_FORMULA, _TEXT)) else cell


def restored(cell: str) -> str:
    """What the cell was before `harmless`."""
    return cell.removeprefix(_TEXT)


def read_address(cell: str) -> str:
    """The address in a cell of anybody's list, normalised. Raises InvalidAddress."""
    # Others make cells harmless in the same way, and no address begins like that.
    is_harmless = cell.startswith(_TEXT) and cell[1:].startswith(_FORMULA)
    return normalise_address(restored(cell) if is_harmless else cell)


def guess_delimiter(first_line: str) -> str:
    """The one of comma, semicolon and tab that the head line has most of."""
    return max(",;\t", key=first_line.count)


def _read_head(reader: Any, where: str) -> list[str]:
    try:
        head: list[str] = next(reader)
    except csv.Error as exc:
        raise ConfigurationError(f"{where} is not CSV: {exc}") from exc
    if any("\x00" in name or "\udcff" in name for name in head):
        raise ConfigurationError(f"{where} looks like UTF-16: save it as UTF-8")
    return head


def plain_names(head: Sequence[str]) -> list[str]:
    """The names as they are compared: in lower case, without a byte order mark."""
    return [name.strip().lstrip("\ufeff").lower() for name in head]


def find_column(head: Sequence[str], wanted: str | None) -> int:
    """Where the addresses stand: in the wanted column, else in the one that is named email or alike.

    Raises ConfigurationError when there is none, or more than one of that name.
    """
    names = plain_names(head)
    for name in (wanted.lower(),) if wanted else COLUMN_NAMES:
        if names.count(name) > 1:
            raise ConfigurationError(f"{names.count(name)} columns are named {name!r}: rename all but one")
        if name in names:
            return names.index(name)
    if wanted is None and len(names) == 1 and "@" not in names[0] and names[0].isprintable():
        return 0
    looked_for = f"no column is named {wanted!r}" if wanted else "no column is named email"
    raise ConfigurationError(f"{looked_for}; the head line has {', '.join(map(repr, head))}: choose one with --column")
