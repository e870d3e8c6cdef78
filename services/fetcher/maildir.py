"""A Maildir as a way in: what is new in it is read, and put aside in it once it is safe. Nothing is ever deleted."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.fetcher.mailbox_files import Found, is_maildir, read_message
from shared.errors import ConfigurationError

_INFO: Final = ":2,"
_SEEN: Final = "S"


def new_mails(folder: Path) -> Iterator[tuple[Path, Found]]:
    """The mails in new, in the order of their names, which is that of their delivery. Raises ConfigurationError.

    One that cannot be read is a Found with an error; one that somebody else put aside meanwhile is passed over.
    """
    for path in _new(folder):
        for found in read_message(path):
            if found.error is None or os.path.lexists(path):
                yield path, found


def count_new(folder: Path) -> int:
    """How many there are. Raises ConfigurationError."""
    return len(_new(folder))


def mark_seen(path: Path) -> None:
    """Move a mail from new to cur, with the flag for seen. One that somebody else has moved already is left alone.

    Raises OSError.
    """
    name, _, flags = path.name.partition(_INFO)
    target = path.parent.parent / "cur" / f"{name}{_INFO}{''.join(sorted({*flags, _SEEN}))}"
    if target.exists():
        raise FileExistsError(17, "a mail of this name is there already", str(target))
    try:
        path.rename(target)
    except FileNotFoundError:
        if path.exists():
            raise


def _new(folder: Path) -> list[Path]:
    if not is_maildir(folder):
        raise ConfigurationError(f"{folder} is no Maildir: it has no cur and new")
    try:
        return sorted(path for path in (folder / "new").iterdir() if not path.name.startswith("."))
    except OSError as exc:
        raise ConfigurationError(f"{folder / 'new'} cannot be read: {exc.strerror}") from exc
