"""Where a mailbox is, and how the way to it is protected."""

import socket
import ssl
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.fetcher.errors import NoSuchServer, connection_error
from services.fetcher.reach import ANYWHERE, Reach, resolve
from shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a server may take. Past any of them the connection is given up."""

    connect_s: float = 20.0
    """Until one of its addresses accepts the connection; and until it greets."""
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


_MOST_ADDRESSES: Final = 8

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
    ca_pem: str = field(default="", repr=False)
    """As ca_file, but the certificates themselves; at most one of the two is given."""
    reach: Reach = ANYWHERE
    deadlines: Deadlines = Deadlines()

    @property
    def where(self) -> str:
        """For error messages."""
        return f"{self.host} port {self.port}"

    def context(self) -> ssl.SSLContext:
        """Verifies certificate and host name. Raises ConfigurationError for what is no set of certificates."""
        own = self.ca_pem.encode("ascii", "replace").decode()  # comments beside the certificates may be in any language
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None, cadata=own or None)
        except (OSError, ValueError) as exc:
            what = f"ca_file {self.ca_file}" if self.ca_file else "the certificate authority"
            is_no_pem = isinstance(exc, ssl.SSLError)
            why = "it is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----" if is_no_pem else exc
            raise ConfigurationError(f"{what} cannot be used: {why}") from exc

    def connect(self) -> socket.socket:
        """A connected socket, in the clear whatever `tls` is. Raises MailboxError."""
        try:
            plain = self.dial()
        except UnicodeError:  # no label may be empty or longer than 63 characters
            raise NoSuchServer(f"there is no server called {self.host}: check the name") from None
        except OSError as exc:
            raise connection_error(exc, self.host, self.port) from exc
        plain.settimeout(min(self.deadlines.connect_s, self.deadlines.idle_s))  # until it has greeted
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

    def dial(self) -> socket.socket:
        """A connected socket, not encrypted yet, to the first address that may be reached and accepts.

        In the order of the resolver (RFC 6724), at most eight of them, all within `connect_s`. Raises OSError, NoSuchServer.
        """
        deadline = time.monotonic() + self.deadlines.connect_s
        names = self.reach.addresses(self.host, self.port)
        addresses = [address for name in names for address in resolve(name, self.port)][:_MOST_ADDRESSES]
        failure: OSError = TimeoutError("no address was tried in time")
        for number, address in enumerate(addresses):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            try:  # one that says nothing leaves the others their share of the time
                return socket.create_connection((address, self.port), left_s / (len(addresses) - number))
            except OSError as exc:
                failure = exc
        raise failure


def default_port(protocol: Protocol, tls: Tls) -> int:
    """As registered with IANA."""
    return _PORTS[protocol, tls == Tls.IMPLICIT]


def wrong_mode(tls: Tls) -> str:
    """The advice for a server that does not greet as it should."""
    if tls == Tls.IMPLICIT:
        return "check the port, and whether the account type is the right one"
    return "check the port and the account type; a port for implicit TLS (993, 995) never greets without it"
