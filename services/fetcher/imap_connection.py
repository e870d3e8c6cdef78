"""IMAPClient on a socket of ours: under our deadlines from the handshake on, and with a bound on every answer."""

import imaplib
import socket
from typing import Any, Final

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from services.fetcher.endpoint import Endpoint, Tls, wrong_mode
from services.fetcher.errors import (
    MailboxError,
    MailboxUnreachable,
    WrongPort,
    WrongProtocol,
    connection_error,
)

_ANSWER_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""A window of mails is at most 25 MiB, whatever their sizes were said to be."""


class _Connection(imaplib.IMAP4):
    """imaplib on a socket that is there already; an answer that has no end ends at _ANSWER_LIMIT_BYTES."""

    def __init__(self, endpoint: Endpoint, connected: socket.socket) -> None:
        self._connected = connected
        self._received_bytes = 0
        super().__init__(endpoint.host, endpoint.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._connected

    def send(self, data: bytes) -> None:  # type: ignore[override]
        self._received_bytes = 0
        super().send(data)

    def read(self, size: int) -> bytes:
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size_bytes: int) -> None:
        self._received_bytes += size_bytes
        if self._received_bytes > _ANSWER_LIMIT_BYTES:
            raise self.abort("the answer has no end in sight")


class _Client(IMAPClient):  # type: ignore[misc]
    """IMAPClient on that, so that its handshake and greeting, too, end in time."""

    def __init__(self, endpoint: Endpoint, connected: socket.socket) -> None:
        self._endpoint = endpoint
        self._connected = connected
        super().__init__(
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls == Tls.IMPLICIT,
            timeout=SocketTimeout(endpoint.deadlines.connect_s, endpoint.deadlines.idle_s),
        )

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802 (IMAPClient's)
        return _Connection(self._endpoint, self._connected)


def connect_imap(endpoint: Endpoint, plain: socket.socket) -> Any:
    """IMAPClient after the greeting, encrypted where TLS is implicit. Raises MailboxError."""
    connected = endpoint.secure(plain) if endpoint.tls == Tls.IMPLICIT else plain
    try:
        return _Client(endpoint, connected)
    except (OSError, IMAPClientError) as exc:
        connected.close()
        raise _greeting_error(exc, endpoint) from exc


def _greeting_error(exc: Exception, endpoint: Endpoint) -> MailboxError:
    advice = wrong_mode(endpoint.tls)
    said = str(exc)
    if isinstance(exc, TimeoutError):
        return WrongPort(f"{endpoint.where} does not greet: {advice}")
    if isinstance(exc, OSError):
        return connection_error(exc, endpoint.host, endpoint.port)
    if "BYE" in said.upper():
        return MailboxUnreachable(f"{endpoint.where} does not serve now: {said[:200]}")
    if isinstance(exc, IMAPClientAbortError) and "unexpected response" not in said:
        return WrongPort(f"{endpoint.where} does not greet ({said[:200]}): {advice}")
    return WrongProtocol(f"{endpoint.where} does not greet as IMAP does: {advice}")
