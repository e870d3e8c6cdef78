"""Lists of contacts as CSV: which column holds the addresses, and cells that spreadsheets leave alone."""

import csv
from collections.abc import Sequence
from typing import Any, Final

from shared.addresses import normalise_address
from shared.errors import ConfigurationError

COLUMN_NAMES: Final = ("email", "e-mail", "address", "email address", "e-mail address", "mail")

_TEXT: Final = "'"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet reads a cell that begins so as a formula; in some languages also the full-width forms."""


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


def read_head(reader: Any, where: str) -> list[str]:
    """The head line's names. Raises ConfigurationError, which names `where`, for what is no CSV in UTF-8."""
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
    if wanted is None and len(names) == 1 and "@" not in names[0]:
        return 0
    looked_for = f"no column is named {wanted!r}" if wanted else "no column is named email"
    raise ConfigurationError(f"{looked_for}; the head line has {', '.join(map(repr, head))}: choose one with --column")
