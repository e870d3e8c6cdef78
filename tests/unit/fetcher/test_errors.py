"""The classes of errors have words that others rely on, and each comes with what to do."""

import socket
import ssl

import pytest

from services.fetcher import errors
from services.fetcher.errors import MailboxError, connection_error

WORDS = {
    "AccountUnusable": "account-unusable",
    "CannotClean": "cannot-clean",
    "CertificateExpired": "certificate-expired",
    "CertificateOfAnotherName": "certificate-of-another-name",
    "CertificateRefused": "certificate-refused",
    "ConnectionLost": "connection-lost",
    "ConnectionRefused": "connection-refused",
    "FolderMissing": "folder-missing",
    "LoginOver": "login-over",
    "LoginRefused": "login-refused",
    "MailboxError": "mailbox-error",
    "MailboxLocked": "mailbox-locked",
    "MailboxUnreachable": "mailbox-unreachable",
    "NoSuchServer": "no-such-server",
    "StartTlsMissing": "start-tls-missing",
    "TimedOut": "timed-out",
    "WrongPort": "wrong-port",
    "WrongProtocol": "wrong-protocol",
}


def test_words_stay_what_they_are() -> None:
    classes = {
        name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, MailboxError)
    }
    assert WORDS.items() <= {name: one.word for name, one in classes.items()}.items()
    assert len({one.word for one in classes.values()}) == len(classes)


def refused_certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "so says OpenSSL"
    return error


def handshake_failed() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("raised", "word", "advice"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "no-such-server", "check the name"),
        (TimeoutError(), "timed-out", "firewall"),
        (ConnectionRefusedError(), "connection-refused", "wrong port"),
        (handshake_failed(), "wrong-port", "for starttls"),
        (refused_certificate(10), "certificate-expired", "renew"),
        (refused_certificate(9), "certificate-expired", "clock"),
        (refused_certificate(62), "certificate-of-another-name", "by the name that is in its certificate"),
        (refused_certificate(64), "certificate-of-another-name", "by the name that is in its certificate"),
        (refused_certificate(18), "certificate-refused", "--ca"),
        (refused_certificate(20), "certificate-refused", "--ca"),
        (OSError(113, "No route to host"), "mailbox-unreachable", "No route to host"),
    ],
)
def test_what_connecting_raises_is_told_apart(raised: OSError, word: str, advice: str) -> None:
    error = connection_error(raised, "mail.example", 995)
    assert (error.word, "mail.example" in str(error)) == (word, True)
    assert advice in str(error)
