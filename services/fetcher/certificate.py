"""The certificate that a server shows, for a person to judge. Nothing is sent over a connection that was not verified."""

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import MailboxError

_LINE_LIMIT_BYTES: Final = 8192
_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """As the server showed it; nobody vouches for any of it."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str
    """The fingerprint, in pairs of hexadecimal digits."""
    pem: str


def look_at(endpoint: Endpoint) -> Certificate | None:
    """The server's certificate, unverified; None when there is none to be had."""
    try:
        with contextlib.closing(endpoint.dial()) as plain:
            plain.settimeout(endpoint.deadlines.connect_s)
            if endpoint.tls == Tls.STARTTLS and not _ask_for_tls(plain, endpoint):
                return None
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=endpoint.host) as shown:
                return read_certificate(shown.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError, MailboxError):
        return None


def read_certificate(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate."""
    one = x509.load_der_x509_certificate(der)
    try:
        alternative = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(name.value) for name in alternative if isinstance(name, x509.DNSName | x509.IPAddress))
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        names = ()
    return Certificate(
        one.subject.rfc4514_string(),
        one.issuer.rfc4514_string(),
        names,
        one.not_valid_before_utc,
        one.not_valid_after_utc,
        one.fingerprint(hashes.SHA256()).hex(":").upper(),
        one.public_bytes(serialization.Encoding.PEM).decode("ascii"),
    )


def _ask_for_tls(plain: socket.socket, endpoint: Endpoint) -> bool:
    """STLS or STARTTLS, without a byte more than its answer being read."""
    deadline = time.monotonic() + endpoint.deadlines.connect_s
    _line(plain, deadline)
    if endpoint.protocol == Protocol.POP3:
        plain.sendall(b"STLS\r\n")
        return _line(plain, deadline).upper().startswith(b"+OK")
    plain.sendall(b"look STARTTLS\r\n")
    for _ in range(_LINES):
        line = _line(plain, deadline)
        if not line.startswith(b"*"):
            return line.upper().startswith(b"LOOK OK")
    return False


def _line(plain: socket.socket, deadline: float) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        one = plain.recv(1)
        if not one or len(line) > _LINE_LIMIT_BYTES or time.monotonic() > deadline:
            raise OSError("the server does not answer in lines")
        line += one
    return line
