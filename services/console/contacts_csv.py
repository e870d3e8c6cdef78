"""Contacts from anybody's CSV, and to one that a spreadsheet may open. Pure."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, TextIO

from services.console.contacts_sql import Contact
from shared.contacts import find_column, guess_delimiter, harmless, read_address, read_head
from shared.errors import ConfigurationError, InvalidAddress

COLUMNS: Final = ("address", "may be mailed", "state", "reason", "since")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row without a valid address."""

    line: int
    cause: str


def read_contacts(lines: Iterable[str], column: str | None, where: str) -> Iterator[str | Unreadable]:
    """The normalised address of each row below the head, or what is wrong with it.

    Raises ConfigurationError, which names `where`, for what is no CSV, and without a column of addresses.
    """
    stream = iter(lines)
    first = next(stream, "")
    if not first.strip():
        raise ConfigurationError(f"{where} is empty; a CSV with a head line was expected")
    reader = csv.reader(chain([first], stream), delimiter=guess_delimiter(first))
    index = find_column(read_head(reader, where), column)
    try:
        for row in reader:
            if not row:
                continue
            try:
                yield read_address(row[index] if index < len(row) else "")
            except InvalidAddress as exc:
                yield Unreadable(reader.line_num, str(exc))
    except csv.Error as exc:
        raise ConfigurationError(f"{where}, line {reader.line_num}, is not CSV: {exc}") from exc


def write_head(file: TextIO) -> None:
    """The names of the columns."""
    csv.writer(file, lineterminator="\n").writerow(COLUMNS)


def write_contacts(file: TextIO, contacts: Iterable[Contact]) -> None:
    """One line a contact."""
    csv.writer(file, lineterminator="\n").writerows([harmless(cell) for cell in _cells(one)] for one in contacts)


def _cells(one: Contact) -> tuple[str, ...]:
    since = one.since.isoformat() if one.since else ""
    return one.recipient, "no" if one.is_suppressed else "yes", one.state, one.reason or "", since
