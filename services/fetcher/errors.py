"""What can be wrong with a mailbox, in classes, each with what to do about it."""

import re
import socket
import ssl
from typing import Any, ClassVar, Final

from shared.errors import ConfigurationError, MailroomError, Permanent, Transient


class MailboxError(Transient):
    """This mailbox cannot be worked now; the broker, the database and the other mailboxes have nothing to do with it."""

    word: ClassVar[str] = "mailbox-error"
    """Names the class to programs: the class's name in kebab case, which so is part of what others rely on."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.word = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()


class MailboxUnreachable(MailboxError):
    """The server cannot be reached, or does not serve now."""


class NoSuchServer(MailboxUnreachable):
    """Nothing has that name, or nothing that may be connected to."""


class TimedOut(MailboxUnreachable):
    """No answer in time."""


class ConnectionRefused(MailboxUnreachable):
    """Nothing listens on that port."""


class WrongPort(MailboxUnreachable):
    """Something listens, but not as was expected: with TLS where it should be plain, or the reverse."""


class WrongProtocol(WrongPort):
    """It greets, but not as a server of this protocol does."""


class CertificateRefused(MailboxError):
    """The server's certificate does not prove that it is the server that was asked for: nobody trusted signed it."""


class CertificateExpired(CertificateRefused):
    """It is not valid any more, or not yet."""


class CertificateOfAnotherName(CertificateRefused):
    """It is another server's."""


class StartTlsMissing(MailboxError):
    """The server offers no STARTTLS, or something on the way removed the offer; no credential was sent."""


class LoginRefused(MailboxError):
    """The server does not take this user name and password."""


class PasswordLoginGone(LoginRefused):
    """The server takes passwords from nobody any more, or not from this user: use OAuth2."""


class TokenRefused(LoginRefused):
    """The mail server does not take this access token."""


class GrantOver(LoginRefused):
    """The token endpoint gives no more tokens: revoked, expired, or not allowed; a person has to log in again."""


class TokenEndpointUnreachable(MailboxUnreachable):
    """The server that gives tokens does not answer; the token that is there is no longer good."""


class NotEncrypted(MailboxError):
    """The account has a token to send and no TLS; nothing was sent."""


class MailboxLocked(MailboxError):
    """Another session holds the mailbox (RFC 2449 §8.1.1 IN-USE, RFC 5530 INUSE)."""


class FolderMissing(MailboxError):
    """The folder of the account does not exist, or may not be opened."""


class ConnectionLost(MailboxError):
    """The connection ended in the middle, or is in a state that nobody can tell; a new login may go on."""


class LoginOver(ConnectionLost):
    """This login was given up after the mail before this command; no mail is to blame, a new login goes on."""


_OUT_OF_TIME: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""
_OTHER_NAME: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_TEMPORARY: Final = re.compile(r"\[(?:SYS/TEMP|IN-USE|UNAVAILABLE|INUSE|SERVERBUG|LIMIT)\b", re.IGNORECASE)


def is_temporary_refusal(text: str) -> bool:
    """A response code says that the server is in trouble, not the mail (RFC 3206 §4, RFC 5530 §3)."""
    return _TEMPORARY.search(text) is not None


class AccountUnusable(MailboxError):
    """What is stored of the account cannot be used: its secret does not open, or its settings are damaged."""


class CannotClean(MailboxError):
    """The server has no safe way to remove only our own mails; they stay."""


class MailUnreadable(MailroomError):
    """This one mail cannot be read; the others can."""


class MailEmpty(MailUnreadable):
    """The server gave it out, and there is nothing in it."""


class Interrupted(Transient):
    """The service was told to stop; what was done is in the checkpoint, and the request comes again."""


class RunDropped(MailroomError):
    """A person dropped the run while it was being fetched: nothing more of it is wanted."""


class UnknownAccount(Permanent):
    """A request names an account that is not configured."""


class SourceUnreadable(ConfigurationError):
    """A SOURCE of the command line that cannot be read; the text names it."""


def connection_error(exc: OSError, host: str, port: int) -> MailboxError:
    """The class and the advice for what connecting to a server, or its TLS handshake, raised."""
    where = f"{host} port {port}"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _certificate_error(exc, where)
    if isinstance(exc, ssl.SSLError):
        return WrongPort(
            f"no TLS with {where}: {exc.reason or exc}. Is this the port for implicit TLS (993, 995), or for starttls (143, 110)?"
        )
    if isinstance(exc, socket.gaierror):
        return NoSuchServer(f"there is no server called {host}: check the name")
    if isinstance(exc, TimeoutError):
        return TimedOut(f"{where} did not answer in time: check the port, and any firewall on the way")
    if isinstance(exc, ConnectionRefusedError):
        return ConnectionRefused(f"{where} refused the connection: nothing listens there, or it is the wrong port")
    return MailboxUnreachable(f"{where} cannot be reached: {exc}")


def _certificate_error(exc: ssl.SSLCertVerificationError, where: str) -> CertificateRefused:
    said = f"the certificate of {where} was refused: {exc.verify_message}."
    if exc.verify_code in _OUT_OF_TIME:
        return CertificateExpired(f"{said} Its operator has to renew it; if it is new, check this machine's clock")
    if exc.verify_code in _OTHER_NAME:
        return CertificateOfAnotherName(f"{said} Give the server by the name that is in its certificate")
    return CertificateRefused(
        f"{said} Check the server name; for a certificate authority of your own set ca_file (--ca of `mailroom lists edit`)"
    )
