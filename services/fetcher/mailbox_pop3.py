"""A POP3 maildrop: known by (UIDL, size), read without changing it, deleted from at QUIT (RFC 1939, 2449, 2595)."""

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from services.fetcher.endpoint import Endpoint, Tls, wrong_mode
from services.fetcher.errors import (
    CannotClean,
    ConnectionLost,
    LoginOver,
    MailboxLocked,
    MailboxUnreachable,
    MailEmpty,
    MailUnreadable,
    StartTlsMissing,
    WrongPort,
    WrongProtocol,
)
from services.fetcher.login import Login
from services.fetcher.pop3_wire import Answer, NotPop3, Pop3Refused, Pop3Wire
from services.fetcher.ports import Fetched, Listed
from services.fetcher.watchdog import opening
from services.fetcher.xoauth2 import methods_of_pop3
from shared.identity import READ_LIMIT_BYTES, cut

_LISTING_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CAPA_LIMIT_BYTES: Final = 64 * 1024
_DELETED_TOGETHER: Final = 100
_UIDL: Final = re.compile(rb"[\x21-\x7e]{1,200}")
"""RFC 1939 §7 allows 70; some servers give more."""
_TOP_LINES: Final = (READ_LIMIT_BYTES // 64, READ_LIMIT_BYTES // 8, READ_LIMIT_BYTES // 2)
"""Lines of 64 bytes give 512 KiB at the first try; lines of two bytes (nothing and CR LF) at the last."""


def open_pop3(endpoint: Endpoint, login: Login) -> "Pop3Mailbox":
    """Connect, encrypt, log in. Raises MailboxError."""
    plain = endpoint.connect()
    with opening(endpoint, plain):
        wire = Pop3Wire(endpoint.secure(plain) if endpoint.tls == Tls.IMPLICIT else plain, endpoint.deadlines)
        try:
            _greet(wire, endpoint)
            if endpoint.tls == Tls.STARTTLS:
                _start_tls(wire, endpoint)
            _log_in(wire, endpoint, login)
            return Pop3Mailbox(wire, reads_together=_has_pipelining(wire))
        except BaseException:
            wire.close()
            raise


def _greet(wire: Pop3Wire, endpoint: Endpoint) -> None:
    try:
        wire.greeting()
    except Pop3Refused as exc:
        raise MailboxUnreachable(f"the server does not serve now: {exc}") from exc
    except NotPop3 as exc:
        raise WrongProtocol(f"{endpoint.where} does not greet as POP3 does: {wrong_mode(endpoint.tls)}") from exc
    except ConnectionLost as exc:
        raise WrongPort(f"{endpoint.where} does not greet ({exc}): {wrong_mode(endpoint.tls)}") from exc


def _start_tls(wire: Pop3Wire, endpoint: Endpoint) -> None:
    where = f"{endpoint.host} port {endpoint.port}"
    try:
        wire.command(b"STLS")
    except Pop3Refused as exc:
        raise StartTlsMissing(
            f"{where} offers no STLS ({exc}); nothing was sent. Set tls to implicit and port 995, or ask its operator"
        ) from exc
    wire.start_tls(endpoint.secure)


def _log_in(wire: Pop3Wire, endpoint: Endpoint, login: Login) -> None:
    try:
        login.log_in_pop3(wire)
    except Pop3Refused as exc:
        said = str(exc)
        if said.upper().startswith(("[IN-USE]", "[LOGIN-DELAY]")):
            raise MailboxLocked(f"{endpoint.host} has the mailbox locked: {said}. The next pass tries again") from exc
        if said.upper().startswith("[SYS/TEMP]"):
            raise MailboxUnreachable(f"{endpoint.host} cannot open the mailbox now: {said}") from exc
        raise login.refusal(endpoint.host, said, _methods(wire)) from exc


def _methods(wire: Pop3Wire) -> frozenset[str]:
    """How one may log in; empty where the server does not say, or hung up, and without TLS, where servers offer less."""
    if not wire.is_encrypted:
        return frozenset()
    try:
        wire.command(b"CAPA")
        return methods_of_pop3(wire.lines(_CAPA_LIMIT_BYTES).data)
    except (Pop3Refused, ConnectionLost):
        return frozenset()


def _has_pipelining(wire: Pop3Wire) -> bool:
    """RFC 2449 §6.6; a server without CAPA has none."""
    try:
        wire.command(b"CAPA")
    except Pop3Refused:
        return False
    return b"PIPELINING" in wire.lines(_CAPA_LIMIT_BYTES).data.upper().splitlines()


class Pop3Mailbox:
    """One login. A uid is `UIDL/size`; `#n`, good for this login only, where that names no single mail."""

    folder = ""
    uidvalidity = 0
    keeps_uids = False

    def __init__(self, wire: Pop3Wire, *, reads_together: bool) -> None:
        self.reads_together = reads_together
        self._wire = wire
        self._numbers: dict[str, int] = {}
        self._sizes: dict[int, int] = {}
        self._listing: list[Listed] | None = None

    def __enter__(self) -> "Pop3Mailbox":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._wire.close()

    def count(self) -> int:
        """By STAT."""
        try:
            number, *_ = self._wire.command(b"STAT").split()
            return int(number)
        except (Pop3Refused, ValueError) as exc:
            raise LoginOver(f"the server does not say how many mails there are: {exc}") from exc

    def listing(self) -> list[Listed]:
        """Asked of the server once a login: within a login the numbers stand still (RFC 1939 §5)."""
        if self._listing is not None:
            return self._listing
        self._sizes = {number: _size(text) for number, text in self._ask_pairs(b"LIST").items()}
        try:
            names = self._ask_pairs(b"UIDL")
        except Pop3Refused:
            names = {}
        pairs = {
            number: f"{names[number].decode('ascii')}/{size_bytes}" if _UIDL.fullmatch(names.get(number, b"")) else ""
            for number, size_bytes in self._sizes.items()
        }
        times = Counter(pairs.values())
        self._listing = []
        for number, pair in pairs.items():
            is_lasting = pair != "" and times[pair] == 1
            uid = pair if is_lasting else f"#{number}"
            self._numbers[uid] = number
            self._listing.append(Listed(uid, self._sizes[number], is_lasting))
        return self._listing

    def read(self, mails: Sequence[Listed]) -> dict[str, Fetched | MailUnreadable]:
        """Of a large mail only the beginning travels (TOP, RFC 1939 §7); the others together where the server pipelines."""
        known = [mail.uid for mail in mails if mail.uid in self._numbers]
        together = [uid for uid in known if self._sizes[self._numbers[uid]] <= READ_LIMIT_BYTES]
        readings = self._read_together(together) if len(together) > 1 and self.reads_together else {}
        return {uid: readings.get(uid) or self._read_alone(self._numbers[uid]) for uid in known}

    def delete(self, uids: Sequence[str]) -> list[str]:
        """Marked only; the server deletes at QUIT (RFC 1939 §6). An answer that is missing ends the login before that."""
        marked = []
        numbered = [(uid, self._numbers[uid]) for uid in uids if uid in self._numbers]
        together = _DELETED_TOGETHER if self.reads_together else 1
        for first in range(0, len(numbered), together):
            part = numbered[first : first + together]
            self._wire.send([b"DELE %d" % number for _, number in part])
            for uid, _ in part:
                with contextlib.suppress(Pop3Refused):
                    self._wire.status()
                    marked.append(uid)
            self._wire.require_silence()
        return marked

    def move(self, uids: Sequence[str], folder: str) -> list[str]:
        """POP3 knows no folders."""
        raise CannotClean(f"POP3 cannot move mails to {folder!r}: choose empty = bounces, all or nothing, or use IMAP")

    def logout(self) -> None:
        """Raises ConnectionLost unless the server says that it did what was asked."""
        try:
            self._wire.command(b"QUIT")
        except Pop3Refused as exc:
            raise ConnectionLost(f"the server did not delete everything it was told to: {exc}") from exc
        finally:
            self._wire.close()

    def _read_together(self, uids: Sequence[str]) -> dict[str, Fetched | MailUnreadable]:
        """Nothing of it counts before all have been answered: an answer that is missing would shift the later ones.

        Those that the server refuses are missing: they are asked for alone.
        """
        self._wire.send([b"RETR %d" % self._numbers[uid] for uid in uids])
        readings: dict[str, Fetched | MailUnreadable] = {}
        for uid in uids:
            try:
                self._wire.status()
            except Pop3Refused:
                continue
            readings[uid] = _reading(self._wire.lines(READ_LIMIT_BYTES + 1))
        self._wire.require_silence()
        return readings

    def _read_alone(self, number: int) -> Fetched | MailUnreadable:
        if self._sizes[number] > READ_LIMIT_BYTES:
            beginning = self._read_beginning(number)
            if beginning is not None:
                return _reading(beginning)
        try:
            return _reading(self._ask(b"RETR %d" % number))
        except Pop3Refused as exc:
            return MailUnreadable(f"the server does not give it out: {exc}")

    def _read_beginning(self, number: int) -> Answer | None:
        """None when the server knows no TOP."""
        answer = Answer(b"", True)
        for lines in _TOP_LINES:
            try:
                answer = self._ask(b"TOP %d %d" % (number, lines))
            except Pop3Refused:
                return None
            if len(answer.data) > READ_LIMIT_BYTES or not answer.is_whole:
                break
        return answer

    def _ask(self, command: bytes) -> Answer:
        self._wire.command(command)
        return self._wire.lines(READ_LIMIT_BYTES + 1)

    def _ask_pairs(self, command: bytes) -> dict[int, bytes]:
        self._wire.command(command)
        answer = self._wire.lines(_LISTING_LIMIT_BYTES)
        if not answer.is_whole:
            self._wire.close()
            raise ConnectionLost(f"the answer to {command.decode('ascii')} has no end")
        pairs = (line.split(maxsplit=1) for line in answer.data.splitlines())
        return {int(pair[0]): pair[1].strip() for pair in pairs if len(pair) == 2 and _is_number(pair[0])}


def _size(text: bytes) -> int:
    digits = text.split(maxsplit=1)[0]
    return int(digits) if _is_number(digits) else 0


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 16


def _reading(answer: Answer) -> Fetched | MailUnreadable:
    raw, was_cut = cut(answer.data)
    if not raw.strip():
        return MailEmpty("the mail is empty")
    return Fetched(raw, None, was_cut or not answer.is_whole)
