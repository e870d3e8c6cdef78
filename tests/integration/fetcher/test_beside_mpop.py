"""Another program gets the same mails of the same mailbox."""

from pathlib import Path

from shared.identity import raw_id
from tests.integration.fetcher.conftest import Fetch, Way, account_of
from tests.integration.fetcher.ledger import Ledger, mail
from tests.servers import mpop
from tests.servers.dovecot import Mailbox

SAMPLES = sorted((Path(__file__).parents[3] / "samples").rglob("*.eml"))
ODD = [
    b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n",
    b"Subject: \xe4\xf6\xfc and \xf0\x9f\x93\xa7\r\n\r\n\xff\xfe8 bit\r\n",
    b"Subject: a long line\r\n\r\n" + b"y" * 5_000 + b"\r\n",
    b"Subject: no end of line at the end\r\n\r\nend",
    b"\r\nno header\r\n",
    b"Subject: From\r\n\r\nFrom the beginning\r\n>From here\r\n",
]


def test_the_same_set_of_mails(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch, tmp_path: Path) -> None:
    texts = [
        file.read_bytes().replace(b"\x00", b"?") for file in SAMPLES
    ]  # IMAP has no NUL: Dovecot gives 0x80 instead
    mails = [b"\r\n".join(text.splitlines()) + b"\r\n" for text in texts]
    mails += [*ODD, *(mail(number) for number in range(120))]
    assert len(SAMPLES) > 5
    for one in mails:
        mailbox.deliver(one)
    theirs = mpop.fetch(mailbox, tmp_path)
    assert len(theirs) == len(mails)
    fetching(account_of(mailbox, way, empty="nothing")).request()
    assert sorted(ledger.raw_ids) == sorted(raw_id(one) for one in theirs)
