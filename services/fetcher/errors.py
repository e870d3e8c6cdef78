"""What can be wrong with a mailbox, in classes, each with what to do about it."""

import re
import socket
import ssl
from typing import Final

from shared.errors import ConfigurationError, MailroomError, Permanent, Transient


class MailboxError(Transient):
    """This mailbox cannot be worked now; the broker, the database and the other mailboxes have nothing to do with it."""


class MailboxUnreachable(MailboxError):
    """No such host, connection refused, or no answer in time."""


class CertificateRefused(MailboxError):
    """The server's certificate does not prove that it is the server that was asked for."""


class StartTlsMissing(MailboxError):
    """The server offers no STARTTLS, or something on the way removed the offer; no credential was sent."""


class LoginRefused(MailboxError):
    """The server does not take this user name and password."""


class MailboxLocked(MailboxError):
    """Another session holds the mailbox (RFC 2449 §8.1.1 IN-USE, RFC 5530 INUSE)."""


class FolderMissing(MailboxError):
    """The folder of the account does not exist, or may not be opened."""


class ConnectionLost(MailboxError):
    """The connection ended in the middle, or is in a state that nobody can tell; a new login may go on."""


class LoginOver(ConnectionLost):
    """This login was given up after the mail before this command; no mail is to blame, a new login goes on."""


_TEMPORARY: Final = re.compile(r"\[(?:SYS/TEMP|IN-USE|UNAVAILABLE|INUSE|SERVERBUG|LIMIT)\b", re.IGNORECASE)


def is_temporary_refusal(text: str) -> bool:
    """A response code says that the server is in trouble, not the mail (RFC 3206 §4, RFC 5530 §3)."""
    return _TEMPORARY.search(text) is not None


class CannotClean(MailboxError):
    """The server has no safe way to remove only our own mails; they stay."""


class MailUnreadable(MailroomError):
    """This one mail cannot be read; the others can."""


class Interrupted(Transient):
    """The service was told to stop; what was done is in the checkpoint, and the request comes again."""


class UnknownAccount(Permanent):
    """A request names an account that is not configured."""


class SourceUnreadable(ConfigurationError):
    """A SOURCE of the command line that cannot be read; the text names it."""


def connection_error(exc: OSError, host: str, port: int) -> MailboxError:
    """The class and the advice for what connecting to a server, or its TLS handshake, raised."""
    where = f"{host} port {port}"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return CertificateRefused(
            f"the certificate of {where} was refused: {exc.verify_message}. Check the server name; "
            "for a certificate authority of your own set ca_file"
        )
    if isinstance(exc, ssl.SSLError):
        return MailboxUnreachable(
            f"no TLS with {where}: {exc.reason or exc}. Is this the port for implicit TLS (993, 995), or for starttls (143, 110)?"
        )
    if isinstance(exc, socket.gaierror):
        return MailboxUnreachable(f"there is no server called {host}: check the name")
    if isinstance(exc, TimeoutError):
        return MailboxUnreachable(f"{where} did not answer in time: check the port, and any firewall on the way")
    if isinstance(exc, ConnectionRefusedError):
        return MailboxUnreachable(f"{where} refused the connection: nothing listens there, or it is the wrong port")
    return MailboxUnreachable(f"{where} cannot be reached: {exc}")
