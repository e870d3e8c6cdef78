"""FETCH answers as imaplib gives them: lines, and pairs of a line and the literal at its end (RFC 3501 §7.4.2).

IMAPClient takes every answer apart sign by sign, which costs more than all else of reading a mail. So the form that servers
send is read here; what differs from it is left to IMAPClient.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from imapclient.datetime_util import parse_to_datetime
from imapclient.response_parser import parse_fetch_response

from services.fetcher.errors import MailEmpty, MailUnreadable
from services.fetcher.ports import Fetched, Listed
from shared.identity import READ_LIMIT_BYTES, cut

LISTED: Final = "(UID RFC822.SIZE)"
READ: Final = f"(UID INTERNALDATE BODY.PEEK[]<0.{READ_LIMIT_BYTES + 1}>)"
"""One byte more than is kept tells whether there is more, whatever RFC822.SIZE says."""

Answers = Sequence[bytes | tuple[bytes, bytes] | None]
"""None: there was no answer at all."""

_BODY: Final = b"BODY[]<0>"
_UID: Final = re.compile(rb"[ (]UID (\d{1,10})[ )]")
_SIZE: Final = re.compile(rb"[ (]RFC822\.SIZE (\d{1,15})[ )]")
_BEFORE_BODY: Final = re.compile(
    rb'\d+ \(UID (\d{1,10}) INTERNALDATE "([ \w:+-]{1,40})" (?:FLAGS \([^(){}"]*\) )?BODY\[\]<0> \{\d+\}'
)


def read_listing(answers: Answers) -> list[Listed]:
    """In the server's order. An answer without a UID is about something else."""
    mails = []
    for line in answers:
        if isinstance(line, bytes) and (uid := _UID.search(line)):
            size = _SIZE.search(line)
            mails.append(Listed(str(int(uid[1])), int(size[1]) if size else 0))
    return mails


def read_mails(answers: Answers) -> dict[str, Fetched | MailUnreadable]:
    """By uid. Raises ProtocolError or ValueError for what is no answer."""
    found = _read_quickly(answers)
    if found is None:
        parsed = parse_fetch_response(list(answers), normalise_times=False)
        found = {str(uid): (answer.get(_BODY), answer.get(b"INTERNALDATE")) for uid, answer in parsed.items()}
    return {uid: _reading(body, received_at) for uid, (body, received_at) in found.items()}


def _read_quickly(answers: Answers) -> dict[str, tuple[Any, Any]] | None:
    """Body and date by uid; None when any answer is not `… (UID … INTERNALDATE … BODY[]<0> {n}`, the body, and `)`."""
    found = {}
    for pair, end in zip(answers[::2], answers[1::2], strict=False):
        if not isinstance(pair, tuple) or end != b")" or not (before := _BEFORE_BODY.fullmatch(pair[0])):
            return None
        found[str(int(before[1]))] = (pair[1], before[2])
    return found if len(answers) % 2 == 0 else None


def _instant(said: object) -> datetime | None:
    """None for what is no instant of our calendar: the mail is none the worse for it."""
    try:
        date = parse_to_datetime(said, normalise=False) if isinstance(said, bytes) else said
        return date.astimezone(UTC) if isinstance(date, datetime) and date.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _reading(body: object, received_at: object) -> Fetched | MailUnreadable:
    if not isinstance(body, bytes):
        return MailUnreadable("the server answered without the mail")
    if not body.strip():
        return MailEmpty("the mail is empty")
    raw, truncated = cut(body)
    return Fetched(raw, _instant(received_at), truncated)
