"""Where a mailbox is, and how the way to it is protected."""

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.fetcher.errors import connection_error
from shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a server may take. Past any of them the connection is given up."""

    connect_s: float = 20.0
    """Until it accepts the connection."""
    idle_s: float = 60.0
    """The longest silence in the middle of a step."""
    step_s: float = 180.0
    """A whole step, however steadily it trickles: from the handshake to the open folder is one; then each command."""


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
    deadlines: Deadlines = Deadlines()

    def context(self) -> ssl.SSLContext:
        """Verifies certificate and host name. Raises ConfigurationError when ca_file is no set of certificates."""
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except OSError as exc:
            raise ConfigurationError(f"ca_file {self.ca_file} cannot be used: {exc}") from exc

    def connect(self) -> socket.socket:
        """A connected socket, in the clear whatever `tls` is. Raises MailboxError."""
        try:
            plain = socket.create_connection((self.host, self.port), self.deadlines.connect_s)
        except OSError as exc:
            raise connection_error(exc, self.host, self.port) from exc
        plain.settimeout(self.deadlines.idle_s)
        return plain

    def secure(self, plain: socket.socket) -> socket.socket:
        """The socket after a handshake; closed when the handshake fails. Raises MailboxError."""
        try:
            return self.context().wrap_socket(plain, server_hostname=self.host)
        except OSError as exc:
            plain.close()
            raise connection_error(exc, self.host, self.port) from exc
        except BaseException:
            plain.close()
            raise


def default_port(protocol: Protocol, tls: Tls) -> int:
    """As registered with IANA."""
    return _PORTS[protocol, tls == Tls.IMPLICIT]
