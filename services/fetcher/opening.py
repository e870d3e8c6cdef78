"""Which adapter reads which protocol."""

from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import LoginRefused
from services.fetcher.login import Login
from services.fetcher.mailbox_imap import open_imap
from services.fetcher.mailbox_pop3 import open_pop3
from services.fetcher.ports import Mailbox


def open_mailbox(endpoint: Endpoint, login: Login, folder: str, to_clean: bool) -> Mailbox:
    """Connected and logged in. Raises MailboxError.

    A login that was refused and has something else to try, a new token, is tried once more, on a connection of its own.
    """
    try:
        return _open(endpoint, login, folder, to_clean=to_clean)
    except LoginRefused:
        if not login.renew():
            raise
        return _open(endpoint, login, folder, to_clean=to_clean)


def _open(endpoint: Endpoint, login: Login, folder: str, *, to_clean: bool) -> Mailbox:
    login.prepare(is_encrypted=endpoint.tls != Tls.NONE)
    if endpoint.protocol == Protocol.POP3:
        return open_pop3(endpoint, login)
    return open_imap(endpoint, login, folder, to_clean=to_clean)
