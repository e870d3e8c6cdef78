"""500 strings that would be commands if they were put into one: as mails and as settings they change nothing in any mailbox."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import MailboxError
from services.fetcher.login import PasswordLogin
from services.fetcher.opening import open_mailbox
from shared.errors import ConfigurationError
from tests.integration.fetcher.conftest import IMAP, POP3, Fetch, Way, account_of
from tests.integration.fetcher.ledger import Ledger
from tests.servers.dovecot import Mailbox

BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\x00",
    "\r\n\r\n",
    "\x00\r\n",
    '"',
    '" ',
    '"\r\n',
    "\\",
    '\\"',
    "{3}\r\n",
    "{3+}\r\n",
    "*",
    "%",
]
BREAKS += ["../", "/", ".", "&AA0ACg-", "&", "\x7f", "\u2028", "\x85", "\x1b[2J", "\t"]
COMMANDS = [
    "DELE 1",
    "QUIT",
    "RSET",
    "a1 STORE 1:* +FLAGS (\\Deleted)",
    "a1 EXPUNGE",
    "a1 UID STORE 1:* +FLAGS.SILENT (\\Deleted \\Seen)",
    "a1 CLOSE",
    "a1 DELETE Kept",
    "a1 RENAME Kept Gone",
    "a1 CREATE Planted",
    "a1 UID MOVE 1:* Kept",
    "a1 LOGOUT",
    ".",
    "+OK",
    "* BYE",
    "* 1 EXPUNGE",
    "a1 OK done",
    "INBOX",
    "${jndi:x}`id`$(id)",
    "'; DROP TABLE found; --",
]
HOSTILE = [f"x{before}{command}{before}" for before, command in product(BREAKS, COMMANDS)]


@pytest.fixture
def kept(mailbox: Mailbox) -> Mailbox:
    """With mails that a human wants to keep, in the inbox and in a folder."""
    for number in range(3):
        mailbox.deliver(b"Subject: dear %d\r\n\r\nyours\r\n" % number)
        mailbox.deliver(b"Subject: kept %d\r\n\r\nyours\r\n" % number, folder="Kept")
    return mailbox


def everything(mailbox: Mailbox) -> dict[str, list[bytes]]:
    return {folder: mailbox.mails(folder) for folder in mailbox.folders()}


def test_there_are_500() -> None:
    assert len(set(HOSTILE)) == 500


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_in_mails(kept: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    for number, text in enumerate(HOSTILE):
        raw = f"Subject: {text}\r\nMessage-ID: <{text}{number}>\r\n\r\n{text}\r\n".encode()
        kept.deliver(raw.replace(b"\x00", b"\xc0\x80"))  # no mail store holds NUL
    before = everything(kept)
    fetching(account_of(kept, way, empty="nothing")).request()
    assert len(set(ledger.raw_ids)) == 503
    assert everything(kept) == before
    human = [mail for mail in before["INBOX"] if mail.startswith(b"Subject: dear")]
    ledger.record(
        [raw_id for raw_id, raw in zip(ledger.raw_ids, ledger.raws, strict=True) if raw not in human], "bounce", "hard"
    )
    fetching(account_of(kept, way)).request("run-2")
    assert everything(kept) == before | {"INBOX": human}, "what is recorded goes, by its uid alone"


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_as_user_and_password(kept: Mailbox, way: Way) -> None:
    before = everything(kept)
    logins = [
        ((text, kept.password), (kept.user + text, kept.password), (kept.user, text))[number % 3]
        for number, text in enumerate(HOSTILE)
    ]
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda login: _opens(kept, way[0], *login), logins))
    assert not any(opened)
    assert everything(kept) == before


def test_as_folder(kept: Mailbox) -> None:
    before = everything(kept)
    assert [text for text in HOSTILE if _opens(kept, Protocol.IMAP, kept.user, kept.password, text)] == []
    assert everything(kept) == before


def test_as_folder_to_move_to(kept: Mailbox) -> None:
    """A folder that is not there is never made: nothing moves."""
    before = everything(kept)
    endpoint = Endpoint(Protocol.IMAP, kept.host, kept.server.imap_port, Tls.NONE)
    login = PasswordLogin(kept.user, kept.password)
    moved = []
    for text in HOSTILE:
        try:
            emptying = read_emptying(f"move:{text}")
            with open_mailbox(endpoint, login, "INBOX", True) as opened:
                moved += opened.move([mail.uid for mail in opened.listing()], emptying.folder)
        except (MailboxError, ConfigurationError, ValueError):
            continue
    assert moved == []
    assert everything(kept) == before


def _opens(mailbox: Mailbox, protocol: Protocol, user: str, password: str, folder: str = "INBOX") -> bool:
    is_pop3 = protocol == Protocol.POP3
    port = mailbox.server.pop3_port if is_pop3 else mailbox.server.imap_port
    endpoint = Endpoint(protocol, mailbox.host, port, Tls.NONE)
    try:
        with open_mailbox(endpoint, PasswordLogin(user, password), "" if is_pop3 else folder, False):
            return True
    except (MailboxError, ConfigurationError):
        return False
