"""mbox: many mails in one file, each behind a From_ line (RFC 4155); read as a stream, whatever its size."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import BinaryIO, Final

from services.fetcher.ports import Fetched
from shared.identity import READ_LIMIT_BYTES, cut

_LINE_BYTES: Final = 64 * 1024
_FROM_: Final = re.compile(
    rb"From .*\b(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<day>\d{1,2}) +"
    rb"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
    rb"(?: +(?:[A-Z]{2,5}|(?P<offset>[+-]\d{4})))? +(?P<year>\d{4})(?: +(?P<late_offset>[+-]\d{4}))?\s*$"
)
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_QUOTED: Final = re.compile(rb">+From ")


def split_mbox(stream: BinaryIO) -> Iterator[Fetched]:
    """The mails in their order, each at most 512 KiB; received_at is the date of the From_ line, None when it has none.

    A mail begins at the first line, and wherever an empty line is followed by "From " and a date: "From the beginning …" in a
    text begins none. One `>` is taken from a quoted From_ line of a body (mboxrd, and what most writers of mboxo
    meant); header lines are left as they are.
    """
    mail: _Mail | None = None
    is_line_start = True
    was_empty = True
    for line in iter(lambda: stream.readline(_LINE_BYTES), b""):
        begins = is_line_start and was_empty and line.startswith(b"From ")
        if begins and (mail is None or _FROM_.match(line)):
            if mail is not None:
                yield mail.finish()
            mail = _Mail(read_from_date(line))
        elif mail is not None:
            mail.add(line, is_line_start=is_line_start)
        was_empty = is_line_start and line in (b"\n", b"\r\n")
        is_line_start = line.endswith(b"\n")
    if mail is not None:
        yield mail.finish()


def read_from_date(line: bytes) -> datetime | None:
    """The instant in a From_ line, as asctime writes it; without an offset it is UTC (RFC 4155, appendix A)."""
    match = _FROM_.match(line)
    if not match:
        return None
    offset = (match["offset"] or match["late_offset"] or b"+0000").decode("ascii")
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    try:
        return datetime(
            int(match["year"]),
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"] or 0),
            tzinfo=timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _Mail:
    def __init__(self, received_at: datetime | None) -> None:
        self._received_at = received_at
        self._raw = bytearray()
        self._is_body = False

    def add(self, line: bytes, *, is_line_start: bool) -> None:
        if len(self._raw) > READ_LIMIT_BYTES + 2:  # the two last bytes may be the line end of the separator
            return
        if self._is_body and is_line_start and _QUOTED.match(line):
            line = line[1:]
        self._is_body = self._is_body or (is_line_start and line in (b"\n", b"\r\n"))
        self._raw += line

    def finish(self) -> Fetched:
        """Without the empty line that separates it from the next."""
        for separator in (b"\r\n\r\n", b"\n\n"):
            if self._raw.endswith(separator):
                del self._raw[-len(separator) // 2 :]
                break
        raw, truncated = cut(bytes(self._raw))
        return Fetched(raw, self._received_at, truncated)
