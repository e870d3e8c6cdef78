"""Mails in files: one message a file, a Maildir, a folder of messages, an mbox."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from services.fetcher.mbox import split_mbox
from services.fetcher.ports import Fetched
from shared.identity import READ_LIMIT_BYTES, cut

_MBOX_START: Final = b"From "
_FROM_LINE: Final = re.compile(rb"\AFrom [^\n]*\n")
_CHUNK_BYTES: Final = 64 * 1024
_NOTES: Final = frozenset({".toml", ".md"})


@dataclass(frozen=True, slots=True)
class Found:
    """A mail of a SOURCE; or, with `error`, what could not be read and why."""

    name: str
    """The path, `#n` for the nth of an mbox; for a mailbox its URL, `#` and what names the mail there."""
    raw: bytes = b""
    received_at: datetime | None = None
    truncated: bool = False
    error: str | None = None


def read_path(path: Path) -> Iterator[Found]:
    """Every mail in a file or folder, sorted by path. What cannot be read is a Found with an error; the rest goes on."""
    if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises where a folder is locked)
        yield from _read_folder(path)
    else:
        yield from _read_guarded(path, is_message=False)


def read_message(path: Path) -> Iterator[Found]:
    """The one mail in a file, whatever it begins with."""
    yield from _read_guarded(path, is_message=True)


def read_stream(stream: BinaryIO, name: str) -> Found:
    """The one mail in a stream, which is read to its end: whoever writes it would take a closed pipe for a failure."""
    start = _read_up_to(stream, READ_LIMIT_BYTES + _CHUNK_BYTES)
    while stream.read(_CHUNK_BYTES):
        pass
    # Without its mbox From_ line before it is cut, or a large mail would not be the one that a mailbox holds.
    raw, truncated = cut(_FROM_LINE.sub(b"", start, count=1))
    return Found(name, raw, datetime.now(UTC), truncated)


def count_path(path: Path) -> int | None:
    """How many mails there are, where a look at the names tells; None for an mbox."""
    if os.path.isdir(path):  # noqa: PTH112
        files = list(_walk(path))
        return len(files) if all(file.is_message for file in files) else None
    return None if _looks_like_mbox(path) else 1


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    is_message: bool = True
    """Whatever it begins with."""
    error: OSError | None = None


def _read_folder(folder: Path) -> Iterator[Found]:
    for file in _walk(folder):
        if file.error is not None:
            yield Found(printable(file.path), error=_explain(file.path, file.error))
        else:
            yield from _read_guarded(file.path, is_message=file.is_message)


def _walk(folder: Path) -> Iterator[_File]:
    """The files below a folder in order; of a Maildir cur and new, never tmp: what lies there is not delivered yet.

    Outside of a Maildir, names that begin with a dot or end in .toml or .md are passed over: they are notes beside the mails.
    A folder that cannot be listed is one file with an error.
    """
    is_mail = is_maildir(folder)
    try:
        parts = [folder / "cur", folder / "new"] if is_mail else [folder]
        paths = [path for part in parts for path in sorted(part.iterdir()) if not path.name.startswith(".")]
    except OSError as exc:
        yield _File(folder, error=exc)
        return
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
            if not is_mail:
                yield from _walk(path)
        elif (os.path.isfile(path) or os.path.islink(path)) and (  # noqa: PTH113, PTH114
            is_mail or path.suffix.lower() not in _NOTES
        ):
            yield _File(path, is_mail or not _is_mbox_name(path))


def is_maildir(folder: Path) -> bool:
    """It has cur and new."""
    return os.path.isdir(folder / "cur") and os.path.isdir(folder / "new")  # noqa: PTH112


def _is_mbox_name(path: Path) -> bool:
    return path.suffix.lower() == ".mbox"


def _looks_like_mbox(path: Path) -> bool:
    if _is_mbox_name(path):
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(_MBOX_START)) == _MBOX_START
    except OSError:
        return False


def _read_file(path: Path, *, is_message: bool) -> Iterator[Found]:
    with path.open("rb", buffering=1024 * 1024) as stream:
        start = b"" if is_message else _peek(stream)
        if start == _MBOX_START or (_is_mbox_name(path) and not is_message):
            if start not in (b"", _MBOX_START):
                yield Found(printable(path), error=f"{printable(path)} is no mbox: it does not begin with 'From '")
                return
            for position, mail in enumerate(split_mbox(stream), start=1):
                yield _found(f"{printable(path)}#{position}", mail, stream)
        else:
            raw, truncated = cut(_read_up_to(stream, READ_LIMIT_BYTES + 1))
            yield _found(printable(path), Fetched(raw, None, truncated), stream)


def _peek(stream: BinaryIO) -> bytes:
    peek: Callable[[int], bytes] = stream.peek  # type: ignore[attr-defined]
    return peek(len(_MBOX_START))[: len(_MBOX_START)]


def _read_up_to(stream: BinaryIO, limit_bytes: int) -> bytes:
    """All of a pipe too, which gives a piece at a time."""
    pieces = bytearray()
    while len(pieces) < limit_bytes and (piece := stream.read(limit_bytes - len(pieces))):
        pieces += piece
    return bytes(pieces)


def _found(name: str, mail: Fetched, stream: BinaryIO) -> Found:
    return Found(name, mail.raw, mail.received_at or _file_time(stream), mail.truncated)


def _file_time(stream: BinaryIO) -> datetime | None:
    try:
        return datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return None


def _read_guarded(path: Path, *, is_message: bool) -> Iterator[Found]:
    try:
        yield from _read_file(path, is_message=is_message)
    except OSError as exc:
        yield Found(printable(path), error=_explain(path, exc))


def _explain(path: Path, exc: OSError) -> str:
    return f"{printable(path)} cannot be read: {exc.strerror or exc}"


def printable(path: Path) -> str:
    """The path as text that can be encoded: bytes that are no UTF-8 appear as `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
