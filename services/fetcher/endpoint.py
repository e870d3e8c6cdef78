"""Where a mailbox is, and how the way to it is protected."""

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.fetcher.errors import connection_error
from shared.errors import ConfigurationError

CONNECT_TIMEOUT_S: Final = 20.0
IDLE_TIMEOUT_S: Final = 60.0
"""The longest silence of a server in the middle of a step."""
STEP_TIMEOUT_S: Final = 180.0
"""The longest time for one command and its whole answer, however steadily it trickles."""


class Protocol(StrEnum):
    """How a mailbox is read."""

    POP3 = "pop3"
    IMAP = "imap"


class Tls(StrEnum):
    """How the connection is encrypted. There is no way from one to a lesser one."""

    IMPLICIT = "implicit"
    """From the first byte (RFC 8314)."""
    STARTTLS = "starttls"
    """Plain until STARTTLS or STLS, and never a credential before (RFC 2595)."""
    NONE = "none"


_PORTS: Final = {
    (Protocol.POP3, True): 995,
    (Protocol.POP3, False): 110,
    (Protocol.IMAP, True): 993,
    (Protocol.IMAP, False): 143,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and what proves that it is the one."""

    protocol: Protocol
    host: str
    port: int
    tls: Tls = Tls.IMPLICIT
    ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Verifies certificate and host name. Raises ConfigurationError when ca_file is no set of certificates."""
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except OSError as exc:
            raise ConfigurationError(f"ca_file {self.ca_file} cannot be used: {exc}") from exc

    def connect(self) -> socket.socket:
        """A connected socket, encrypted already where TLS is implicit. Raises MailboxError."""
        context = self.context() if self.tls == Tls.IMPLICIT else None
        try:
            plain = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_S)
            return secure(plain, context, self.host) if context else plain
        except OSError as exc:
            raise connection_error(exc, self.host, self.port) from exc


def default_port(protocol: Protocol, tls: Tls) -> int:
    """As registered with IANA."""
    return _PORTS[protocol, tls == Tls.IMPLICIT]


def secure(plain: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    """The socket after a handshake; closed when the handshake fails."""
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
