"""POP3 on a socket: lines of any length, answers that are cut, and a deadline for every step (RFC 1939).

poplib is not used: it fails on a line of more than 2,048 bytes and leaves the connection unusable, it has no deadline for an
answer that trickles, it cannot stop in the middle of a mail, and it keeps what it read before a STLS handshake.
"""

import base64
import binascii
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from services.fetcher.endpoint import Deadlines
from services.fetcher.errors import ConnectionLost, LoginOver
from shared.progress import moved

_STATUS_LIMIT_BYTES: Final = 8192
_CHUNK_BYTES: Final = 64 * 1024
_DRAIN_LIMIT_BYTES: Final = 2 * 1024 * 1024
"""So much of an answer is read and thrown away; beyond that a new login is cheaper."""
_CHALLENGE_LIMIT: Final = 8


class Pop3Refused(Exception):
    """The server answered -ERR; the text is what it said."""


class NotPop3(ConnectionLost):
    """Whatever answered does not speak POP3, or has lost the thread."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The lines of an answer, without its dots."""

    data: bytes
    is_whole: bool
    """False: cut at the limit."""


class Pop3Wire:
    """One connection. After ConnectionLost, or an answer that was not read to its end, it takes no further command."""

    def __init__(self, sock: socket.socket, deadlines: Deadlines) -> None:
        self._socket = sock
        self._deadlines = deadlines
        self._deadline = time.monotonic() + min(deadlines.step_s, deadlines.connect_s)  # for the greeting
        self._buffer = bytearray()
        self._is_broken = False

    def greeting(self) -> bytes:
        """The first line, which the server sends unasked. Raises Pop3Refused."""
        return self._read_status(self._line())

    def command(self, line: bytes) -> bytes:
        """Send a line and return the text after +OK. Raises Pop3Refused, ConnectionLost, or LoginOver before anything is sent."""
        self.send([line])
        return self.status()

    def send(self, lines: Sequence[bytes]) -> None:
        """Several commands at once (RFC 2449 §6.6), each to be followed by a `status`. Raises as `command` does."""
        if self._is_broken:
            raise LoginOver("the login was given up: its last answer had no end in sight")
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise ValueError("a line break in a POP3 command")
        self.require_silence()
        moved()
        try:
            self._socket.settimeout(self._deadlines.idle_s)
            self._socket.sendall(b"\r\n".join([*lines, b""]))
        except OSError as exc:
            self._fail(f"sending failed: {exc}")

    def require_silence(self) -> None:
        """Every answer was read. Raises ConnectionLost when there is more: from then on none belongs to its command."""
        if self._buffer:
            self._fail("the server sent more than was asked for")

    def status(self) -> bytes:
        """The text after the next +OK. Raises Pop3Refused, ConnectionLost."""
        if self._is_broken:
            self._fail("an answer had no end in sight")
        self._deadline = time.monotonic() + self._deadlines.step_s
        return self._read_status(self._line())

    def authenticate(self, mechanism: str, respond: Callable[[bytes], bytes]) -> bytes:
        """AUTH, and an answer to every challenge, both decoded (RFC 5034 §4). Raises as `command` does.

        The first response waits for the server's first challenge, an empty one: on the line of AUTH it may make no more than
        255 octets, and a token is longer. Exchange Online takes it on a line of its own only.
        """
        self.send([b"AUTH " + mechanism.encode("ascii")])
        self._deadline = time.monotonic() + self._deadlines.step_s
        challenges = 0
        while (line := self._line()) == b"+" or line.startswith(b"+ "):
            challenges += 1
            if challenges > _CHALLENGE_LIMIT:
                self._fail("challenges without an end")
            self.send([base64.b64encode(respond(_decoded(line[1:].strip())))])
        return self._read_status(line)

    def lines(self, limit_bytes: int) -> Answer:
        """The multi-line answer that follows a +OK, of which at most limit_bytes are kept (RFC 1939 §3)."""
        kept = self._buffer
        self._buffer = bytearray()
        if not kept:
            self._receive(kept)
        while len(kept) < 3:
            self._receive(kept)
        if kept.startswith(b".\r\n"):
            self._buffer = kept[3:]
            return Answer(b"", True)
        room = 2 * limit_bytes + 16  # a line of one dot arrives as two: nothing more than doubles
        searched = 0
        while (end := kept.find(b"\r\n.\r\n", max(0, searched - 4))) < 0 and len(kept) <= room:
            searched = len(kept)
            self._receive(kept)
        if end >= 0:
            self._buffer = kept[end + 5 :]
            data = _without_stuffing(kept[: end + 2])
            return Answer(bytes(data[:limit_bytes]), len(data) <= limit_bytes)
        self._drain(bytes(kept[-4:]))
        return Answer(bytes(_without_stuffing(kept)[:limit_bytes]), False)

    def start_tls(self, secure: Callable[[socket.socket], socket.socket]) -> None:
        """Encrypt from here on, after STLS was answered with +OK. Raises what `secure` does.

        What came before the handshake was said by anyone; a server that is honest has said nothing (RFC 2595 §4).
        """
        if self._buffer:
            self._fail("something answered before TLS began")
        self._socket.settimeout(self._deadlines.idle_s)
        self._socket = secure(self._socket)

    def close(self) -> None:
        """Drop the connection without a word."""
        self._is_broken = True
        with contextlib.suppress(OSError):
            self._socket.close()

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent now travels over TLS."""
        return isinstance(self._socket, ssl.SSLSocket)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _STATUS_LIMIT_BYTES:
                self._fail("a status line without an end")
            self._receive(self._buffer)
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _read_status(self, line: bytes) -> bytes:
        if line[:3].upper() == b"+OK":
            return line[3:].strip()
        if line[:4].upper() != b"-ERR":
            self.close()
            raise NotPop3("an answer that is not POP3")
        raise Pop3Refused(line[4:].strip().decode("utf-8", "replace")[:200])

    def _drain(self, tail: bytes) -> None:
        """Read to the end of the answer; where that is far, give the connection up: nothing else may follow on it."""
        drained = 0
        while drained <= _DRAIN_LIMIT_BYTES:
            chunk = bytearray(tail)
            self._receive(chunk)
            drained += len(chunk) - len(tail)
            end = chunk.find(b"\r\n.\r\n")
            if end >= 0:
                self._buffer = chunk[end + 5 :]
                return
            tail = bytes(chunk[-4:])
        self.close()

    def _receive(self, into: bytearray) -> None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            self._fail("the answer took too long")
        try:
            self._socket.settimeout(min(left_s, self._deadlines.idle_s))
            chunk = self._socket.recv(_CHUNK_BYTES)
        except TimeoutError:
            self._fail("no answer in time")
        except OSError as exc:
            self._fail(str(exc))
        if not chunk:
            self._fail("the server closed it")
        into += chunk

    def _fail(self, cause: str) -> NoReturn:
        self.close()
        raise ConnectionLost(f"the connection to the mail server broke: {cause}")


def _decoded(challenge: bytes) -> bytes:
    """As it is where it is no base64: it only explains a refusal."""
    try:
        return base64.b64decode(challenge, validate=True)
    except binascii.Error:
        return challenge


def _without_stuffing(lines: bytearray) -> bytearray:
    unstuffed = lines.replace(b"\r\n..", b"\r\n.")
    return unstuffed[1:] if unstuffed.startswith(b"..") else unstuffed
