"""Servers that lie, break or were tampered with: nothing is lost, nothing stops, no password leaves."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from services.fetcher.accounts import Account
from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import MailboxError, StartTlsMissing
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import open_account
from services.fetcher.login import PasswordLogin
from shared.identity import READ_LIMIT_BYTES, raw_id
from shared.tables.fetcher import found, run
from tests.integration.fetcher.conftest import Fetch
from tests.integration.fetcher.imap_folder import ImapFolder
from tests.integration.fetcher.ledger import Ledger
from tests.integration.fetcher.maildrop import Maildrop
from tests.integration.fetcher.scripted import Session, serving
from tests.servers import certificates


def mail(number: int) -> bytes:
    return b"Subject: bounce %d\r\n\r\nbody\r\n" % number


def account_at(
    port: int, *, protocol: Protocol = Protocol.POP3, tls: Tls = Tls.NONE, empty: str = "bounces"
) -> Account:
    login = PasswordLogin("joe", "canary")
    folder = "" if protocol == Protocol.POP3 else "INBOX"
    return Account("news", Endpoint(protocol, "127.0.0.1", port, tls), login, folder, read_emptying(empty))


def test_without_uidl_all_is_read_each_time_and_published_once(ledger: Ledger, fetching: Fetch) -> None:
    maildrop = Maildrop([mail(1), b"Subject: a letter\r\n\r\nbody\r\n", mail(2), mail(2)])
    letter = maildrop.mails[1]
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port))
        fetch.request()
        assert sorted(ledger.raws) == sorted([letter, mail(1), mail(2)])
        assert len(maildrop.mails) == 4
        fetch.clock.meanwhile = [ledger.record_arrived]
        ledger.record_arrived()
        fetch.request("run-2")
        assert maildrop.mails == [letter], "read in that login, and found recorded"
        fetch.request("run-3")
        assert len(ledger.raws) == 3
        assert maildrop.mails == [letter]


def test_a_slice_of_mails_without_names_comes_to_an_end(ledger: Ledger, fetching: Fetch) -> None:
    with serving(Maildrop([mail(number) for number in range(7)])) as server:
        fetch = fetching(account_at(server.port), limits=SliceLimits(mails=2, window_mails=1))
        fetch.request()
    assert sorted(ledger.raws) == sorted(mail(number) for number in range(7))


def test_a_uidl_that_occurs_twice_names_nothing(ledger: Ledger, fetching: Fetch) -> None:
    maildrop = Maildrop([mail(1), mail(2), mail(3)], [b"same", b"same", b"other"])
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port))
        fetch.clock.meanwhile = [ledger.record_arrived]
        fetch.request()
    assert sorted(ledger.raws) == sorted([mail(1), mail(2), mail(3)])
    assert maildrop.mails == []


def test_a_uidl_may_come_to_name_another_mail(ledger: Ledger, fetching: Fetch) -> None:
    maildrop = Maildrop([mail(1)], [b"1"])
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port))
        fetch.clock.meanwhile = [ledger.record_arrived]
        fetch.request()
        assert maildrop.mails == []
        fetch.request("run-2")
        maildrop.mails, maildrop.uidls = [mail(2)], [b"1"]
        fetch.request("run-3")
    assert ledger.raws == [mail(1), mail(2)]


def test_without_uidvalidity_a_uid_names_a_mail_in_one_login_only(ledger: Ledger, fetching: Fetch) -> None:
    """RFC 3501 §6.3.1: another client removes a bounce between two logins, and its UID becomes a human's mail's."""
    human = b"Subject: lunch?\r\n\r\nat noon\r\n"
    folder = ImapFolder([mail(1), mail(2)], uidvalidity_said=b"")

    def remove_and_record() -> None:
        ledger.record_arrived()
        folder.mails = [human, mail(2)]

    with serving(folder) as server:
        endpoint = Endpoint(Protocol.IMAP, "127.0.0.1", server.port, Tls.NONE)
        account = Account("news", endpoint, PasswordLogin("joe", "canary"), "INBOX", read_emptying("bounces"), "list")
        fetch = fetching(account)
        fetch.clock.meanwhile = [remove_and_record]
        fetch.request()
        assert folder.mails == [human]
        fetch.request("run-2")
    assert folder.mails == [human]
    assert sorted(ledger.raws) == sorted([mail(1), mail(2), human]), "each once, whatever its UID was before"


@pytest.mark.parametrize("fault", ["breaks_at", "refuses"])
def test_one_bad_mail_stops_nothing(ledger: Ledger, fetching: Fetch, fault: str) -> None:
    maildrop = Maildrop([mail(1), mail(2), mail(3)], [b"a", b"b", b"c"])
    setattr(maildrop, fault, {mail(2)})
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port, empty="nothing"))
        for number in range(5):
            fetch.request(f"run-{number}")
        assert ledger.raws == [mail(1), mail(3)]
        heard = server.heard.count(b"RETR 2")
    assert heard == 3, "three tries, then it is left in place"
    with ledger.engine.begin() as connection:
        left = connection.execute(select(found).where(found.c.raw_id.is_(None))).one()
    assert left.attempts == 3
    assert left.last_error


def test_the_slices_of_one_run_are_one_try(ledger: Ledger, fetching: Fetch) -> None:
    maildrop = Maildrop([mail(number) for number in range(6)], [b"%d" % number for number in range(6)])
    maildrop.refuses = {mail(0)}
    with serving(maildrop) as server:
        fetching(account_at(server.port, empty="nothing"), limits=SliceLimits(mails=1)).request()
        assert len(ledger.raws) == 5
        maildrop.refuses = set()
        fetching(account_at(server.port, empty="nothing"), holder="the next").request("run-2")
    assert sorted(ledger.raws) == sorted(maildrop.mails)


@pytest.mark.parametrize("number", [1, 7])
def test_empty_mails_are_left_and_reported_however_many(ledger: Ledger, fetching: Fetch, number: int) -> None:
    """The server is well: it gave them out."""
    maildrop = Maildrop([b"\r\n"] * number, [b"%d" % n for n in range(number)])
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port, empty="nothing"))
        for n in range(5):
            fetch.request(f"run-{n}")
        heard = sum(line.startswith(b"RETR") for line in server.heard)
    with ledger.engine.begin() as connection:
        assert connection.execute(select(found.c.attempts)).scalars().all() == [3] * number
        assert set(connection.execute(select(run.c.last_error)).scalars()) == {None}
    assert heard == 3 * number


def test_a_server_that_gives_out_nothing_is_no_success(ledger: Ledger, fetching: Fetch) -> None:
    mails = [mail(number) for number in range(10)]
    with serving(Maildrop(mails, [b"%d" % n for n in range(10)], refuses=set(mails))) as server:
        fetching(account_at(server.port, empty="nothing")).request()
    with ledger.engine.begin() as connection:
        told = connection.execute(select(run.c.last_error, run.c.finished_at)).one()
    assert "none of 10 mails" in told.last_error
    assert told.finished_at is None


def test_a_server_that_hangs_up_while_it_is_cleaned_gets_clean_and_gives_out_what_is_new(
    ledger: Ledger, fetching: Fetch
) -> None:
    maildrop = Maildrop([mail(number) for number in range(300)], [b"%d" % number for number in range(300)])
    with serving(maildrop) as server:
        fetching(account_at(server.port, empty="nothing")).request()
        ledger.record_arrived()
        new = [mail(number) for number in range(300, 303)]
        maildrop.mails = [*maildrop.mails, *new]
        maildrop.uidls = [*(maildrop.uidls or []), b"300", b"301", b"302"]
        maildrop.hangs_up_after = 60
        fetching(account_at(server.port)).request("run-2")
    assert maildrop.mails == new
    assert set(new) <= set(ledger.raws)


@pytest.mark.parametrize("refusal", [b"-ERR [SYS/TEMP] disk trouble", b"-ERR no"])
def test_a_server_in_trouble_for_three_passes_loses_nothing(ledger: Ledger, fetching: Fetch, refusal: bytes) -> None:
    mails = [mail(number) for number in range(10)]
    maildrop = Maildrop(mails, [b"%d" % number for number in range(10)], refuses=set(mails), refusal=refusal)
    with serving(maildrop) as server:
        fetch = fetching(account_at(server.port, empty="nothing"))
        for number in range(4):
            fetch.request(f"run-{number}")
        assert ledger.raws == []
        maildrop.refuses = set()
        fetch.request("run-healed")
    assert ledger.raws == mails


def test_a_server_that_always_breaks_is_given_up_for_now(ledger: Ledger, fetching: Fetch) -> None:
    mails = [mail(number) for number in range(10)]
    with serving(Maildrop(mails, [b"%d" % number for number in range(10)], breaks_at=set(mails))) as server:
        fetching(account_at(server.port)).request()
        assert server.heard.count(b"USER joe") <= 5
    assert ledger.raws == []
    with ledger.engine.begin() as connection:
        assert "broke" in connection.execute(select(run.c.last_error)).scalar_one()


@pytest.mark.parametrize("size_bytes", [1, 10_000_000])
def test_a_size_that_lies(ledger: Ledger, fetching: Fetch, size_bytes: int) -> None:
    huge = b"Subject: bounce\r\n\r\n" + b"x" * 6_000_000 + b"\r\n"
    mails = [huge, mail(1)]
    with serving(Maildrop(mails, [b"a", b"b"], sizes={huge: size_bytes, mail(1): size_bytes})) as server:
        fetching(account_at(server.port, empty="nothing")).request()
    assert sorted(ledger.raw_ids) == sorted([raw_id(huge[:READ_LIMIT_BYTES]), raw_id(mail(1))])
    with ledger.engine.begin() as connection:
        assert connection.execute(select(found.c.attempts)).scalars().all() == [0, 0]


def test_a_quit_that_is_refused_cleans_nothing(ledger: Ledger, fetching: Fetch) -> None:
    with serving(Maildrop([mail(1)], [b"a"], quit_answer=b"-ERR some not deleted")) as server:
        fetch = fetching(account_at(server.port))
        fetch.clock.meanwhile = [ledger.record_arrived]
        fetch.request()
    with ledger.engine.begin() as connection:
        assert connection.execute(select(found.c.cleaned_at)).scalar_one() is None


def _pop3_stripped(session: Session) -> None:
    session.say(b"+OK")
    while session.hear():
        session.say(b"-ERR unknown")


def _pop3_injected(session: Session) -> None:
    session.say(b"+OK")
    session.hear()
    session.say(b"+OK begin TLS", b"+OK logged in", b"+OK and more")
    while session.hear():
        session.say(b"+OK")


def _imap_stripped(session: Session) -> None:
    session.say(b"* OK hello")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1")
        session.say(tag + b" OK done")


def _imap_preauth(session: Session) -> None:
    session.say(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1 STARTTLS")
        session.say(tag + b" OK done")


def _imap_refused(session: Session) -> None:
    session.say(b"* OK hello")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1 STARTTLS")
        session.say(tag + (b" BAD no" if word == b"STARTTLS" else b" OK done"))


@pytest.mark.parametrize(
    ("protocol", "script"),
    [
        (Protocol.POP3, _pop3_stripped),
        (Protocol.POP3, _pop3_injected),
        (Protocol.IMAP, _imap_stripped),
        (Protocol.IMAP, _imap_preauth),
        (Protocol.IMAP, _imap_refused),
    ],
)
def test_no_credential_leaves_without_tls(protocol: Protocol, script: object) -> None:
    with serving(script) as server:  # type: ignore[arg-type]
        account = account_at(server.port, protocol=protocol, tls=Tls.STARTTLS)
        with pytest.raises(MailboxError) as refused:
            open_account(account)(False)
    if script is not _pop3_injected:
        assert isinstance(refused.value, StartTlsMissing)
    said = b" ".join(server.heard)
    assert b"canary" not in said
    assert b"joe" not in said


def test_what_comes_before_the_handshake_is_never_believed(tmp_path: Path) -> None:
    """IMAP: an OK to the login that is sent together with the OK to STARTTLS."""
    files = certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate_file, files.key_file)

    def script(session: Session) -> None:
        session.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello")
        while line := session.hear():
            tag, word = line.split()[:2]
            if word == b"STARTTLS":
                session.say(tag + b" OK done", b"* CAPABILITY IMAP4rev1 INJECTED", b"* BYE")
                session.start_tls(context)
            elif word == b"LOGIN":
                session.say(tag + b" NO no")
            elif word == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1 STARTTLS", tag + b" OK done")
            else:
                session.say(tag + b" OK done")

    with serving(script) as server:
        account = account_at(server.port, protocol=Protocol.IMAP, tls=Tls.STARTTLS)
        endpoint = replace(account.endpoint, ca_file=files.ca_file)
        with pytest.raises(MailboxError, match="refused the login"):
            open_account(replace(account, endpoint=endpoint))(False)


@pytest.mark.parametrize(
    "greeting", [b"", b"HTTP/1.1 200 OK\r\n", b"\x00" * 100_000, b"-ERR busy\r\n", b"* BYE busy\r\n"]
)
@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_greeting_that_is_none(protocol: Protocol, greeting: bytes) -> None:
    with (
        serving(lambda session: session.connection.sendall(greeting)) as server,
        pytest.raises(MailboxError),
    ):
        open_account(account_at(server.port, protocol=protocol))(False)
