"""[Test Bounce Settings]: connects, finds out how, logs in, counts the mails, logs out. Never changes the mailbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.fetcher.certificate import Certificate, look_at
from services.fetcher.emptying import Empty, Emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import (
    CertificateRefused,
    ConnectionRefused,
    FolderMissing,
    LoginRefused,
    MailboxError,
    MailboxLocked,
    NoSuchServer,
    StartTlsMissing,
    TimedOut,
    WrongPort,
    WrongProtocol,
)
from services.fetcher.lists import Way
from services.fetcher.login import Login
from services.fetcher.opening import open_mailbox
from services.fetcher.ports import Mailbox

Open = Callable[[Endpoint, Login, str, bool], Mailbox]

_SETTLED: Final = (NoSuchServer, WrongProtocol, LoginRefused, MailboxLocked, FolderMissing)
"""After these another way would end alike."""
_TELLING: Final = (CertificateRefused, StartTlsMissing, WrongPort, ConnectionRefused, TimedOut)
"""Where every way failed, the first of these kinds tells most."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way that was tried; without an error it is the one that works."""

    way: Way
    error: MailboxError | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out of it. Without an error `endpoint` and `mails` are there."""

    attempts: Sequence[Attempt] = field(default_factory=list)
    endpoint: Endpoint | None = None
    """How the server is reached: to be stored, so that fetching never guesses."""
    mails: int | None = None
    certificate: Certificate | None = None
    """The one that was refused."""
    error: MailboxError | None = None


def try_settings(
    endpoint: Endpoint,
    ways: Sequence[Way],
    login: Login,
    folder: str = "",
    emptying: Emptying = Emptying(),  # noqa: B008 (frozen)
    open_mailbox: Open = open_mailbox,
) -> Trial:
    """Try the ways in their order, until one works or none of the others can. Raises nothing of a server's doing.

    Each is verified unless the person chose Tls.NONE; a password is sent only over one that was.
    """
    attempts: list[Attempt] = []
    for way in ways:
        tried = replace(endpoint, port=way.port, tls=way.tls)
        try:
            mails = _count(tried, login, folder, emptying, open_mailbox)
        except MailboxError as exc:
            attempts.append(Attempt(way, exc))
            if isinstance(exc, _SETTLED):
                return Trial(attempts, error=exc)
            continue
        return Trial([*attempts, Attempt(way)], tried, mails)
    return _failed(endpoint, attempts)


def _count(endpoint: Endpoint, login: Login, folder: str, emptying: Emptying, open_mailbox: Open) -> int:
    with open_mailbox(endpoint, login, folder, False) as mailbox:
        mails = mailbox.count()
        mailbox.logout()
    if emptying.empty == Empty.MOVE and endpoint.protocol == Protocol.IMAP:
        with open_mailbox(endpoint, login, emptying.folder, False) as mailbox:
            mailbox.logout()
    return mails


def _failed(endpoint: Endpoint, attempts: Sequence[Attempt]) -> Trial:
    _, failed = min(enumerate(attempts), key=lambda one: (_rank(one[1].error), one[0]))
    error = failed.error
    if isinstance(error, CertificateRefused):
        refused = replace(endpoint, port=failed.way.port, tls=failed.way.tls)
        return Trial(attempts, certificate=look_at(refused), error=error)
    if isinstance(error, StartTlsMissing) and all(attempt.way.tls != Tls.NONE for attempt in attempts):
        said = f"{error}. If there is none, --tls none sends the password so that everybody on the way can read it"
        return Trial(attempts, error=StartTlsMissing(said))
    return Trial(attempts, error=error)


def _rank(error: MailboxError | None) -> int:
    return next((rank for rank, kind in enumerate(_TELLING) if isinstance(error, kind)), len(_TELLING))
