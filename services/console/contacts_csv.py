"""Contacts from anybody's CSV, and to one that a spreadsheet may open. Pure."""

import csv
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from services.console.contacts_sql import Contact
from shared.contacts import Unreadable, harmless, read_addresses, read_sheet

COLUMNS: Final = ("address", "may be mailed", "state", "reason", "since")


def read_contacts(lines: Iterable[str], column: str | None, where: str) -> Iterator[str | Unreadable]:
    """The normalised address of each row, or what is wrong with it. Raises ConfigurationError as `read_sheet` does."""
    for one in read_addresses(read_sheet(lines, column, where)):
        yield one if isinstance(one, Unreadable) else one[1]


def write_head(file: TextIO) -> None:
    """The names of the columns."""
    csv.writer(file, lineterminator="\n").writerow(COLUMNS)


def write_contacts(file: TextIO, contacts: Iterable[Contact]) -> None:
    """One line a contact."""
    csv.writer(file, lineterminator="\n").writerows([harmless(cell) for cell in _cells(one)] for one in contacts)


def _cells(one: Contact) -> tuple[str, ...]:
    since = one.since.isoformat() if one.since else ""
    return one.recipient, "no" if one.is_suppressed else "yes", one.state, one.reason or "", since
