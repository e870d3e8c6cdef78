"""Cleaning a real mailbox: what is recorded goes, everything else stays."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from imapclient import DELETED, IMAPClient

from services.fetcher.errors import CannotClean
from services.fetcher.handler import open_account
from services.fetcher.sources import clean_source, open_source
from services.fetcher.store_sql import SqlCheckpoint
from shared.identity import raw_id
from tests.integration.fetcher.conftest import IMAP, POP3, Fetch, Way, account_of
from tests.integration.fetcher.ledger import Ledger, mail
from tests.servers.dovecot import Mailbox

HUMAN = mail(100, subject="a question")


@contextmanager
def client_of(mailbox: Mailbox) -> Iterator[IMAPClient]:
    context = ssl.create_default_context(cafile=str(mailbox.ca_file))
    with IMAPClient(mailbox.host, mailbox.server.imaps_port, ssl_context=context) as client:
        client.login(mailbox.user, mailbox.password)
        client.select_folder("INBOX")
        yield client


def deliver_three(mailbox: Mailbox) -> None:
    for one in (mail(1), HUMAN, mail(2)):
        mailbox.deliver(one)


def test_recorded_bounces_go_and_all_else_stays(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    fetch = fetching(account_of(mailbox, way))

    def meanwhile() -> None:
        mailbox.deliver(mail(3))
        ledger.record_arrived()

    fetch.clock.meanwhile = [meanwhile]
    fetch.request()
    assert mailbox.mails() == [HUMAN, mail(3)], "what arrived in between is not ours yet"
    fetch.clock.meanwhile = [ledger.record_arrived]
    fetch.request("run-2")
    assert mailbox.mails() == [HUMAN]
    assert sorted(ledger.raws) == sorted([mail(1), HUMAN, mail(2), mail(3)])


def test_nothing_goes_before_it_is_recorded(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    fetch = fetching(account_of(mailbox, way))
    fetch.request()
    assert mailbox.mails() == [mail(1), HUMAN, mail(2)]
    assert 60 <= fetch.clock.waited_s < 70
    ledger.record_arrived()
    fetch.request("run-2")
    assert mailbox.mails() == [HUMAN], "the next pass begins by cleaning"
    assert len(ledger.raws) == 3


def test_a_mail_that_is_recorded_but_not_archived_stays(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    from sqlalchemy import delete

    from shared.tables.ledger import archive

    deliver_three(mailbox)
    fetch = fetching(account_of(mailbox, IMAP))
    fetch.request()
    ledger.record_arrived()
    with ledger.engine.begin() as connection:
        connection.execute(delete(archive).where(archive.c.raw_id == raw_id(mail(2))))
    fetch.request("run-2")
    assert mailbox.mails() == [HUMAN, mail(2)]


def test_mails_of_a_held_run_stay(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    ledger.hold("run-1")
    fetch = fetching(account_of(mailbox, way))
    fetch.clock.meanwhile = [ledger.record_arrived]
    fetch.request()
    fetch.request("run-2")
    assert mailbox.mails() == [mail(1), HUMAN, mail(2)]


def test_everything_goes_but_what_the_archive_has_only_in_part(
    mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch
) -> None:
    large_bounce, large_letter = mail(5, size_bytes=700_000), mail(6, subject="photos", size_bytes=700_000)
    deliver_three(mailbox)
    mailbox.deliver(large_bounce)
    mailbox.deliver(large_letter)
    fetch = fetching(account_of(mailbox, way, empty="all"))
    fetch.clock.meanwhile = [ledger.record_arrived]
    fetch.request()
    assert mailbox.mails() == [large_letter]


def test_nothing_is_cleaned_when_told_so(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    fetch = fetching(account_of(mailbox, way, empty="nothing"))
    fetch.request()
    ledger.record_arrived()
    fetch.request("run-2")
    assert len(mailbox.mails()) == 3
    assert fetch.clock.waited_s == 0


def test_bounces_are_moved(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    with client_of(mailbox) as client:
        client.create_folder("Done & filed")
    fetch = fetching(account_of(mailbox, IMAP, empty="move:Done & filed"))
    fetch.clock.meanwhile = [ledger.record_arrived]
    fetch.request()
    assert mailbox.mails() == [HUMAN]
    assert len(mailbox.folders()) == 2
    with client_of(mailbox) as client:
        client.select_folder("Done & filed", readonly=True)
        assert len(client.search("ALL")) == 2


def test_moving_to_a_folder_that_is_not_there_moves_nothing(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    fetch = fetching(account_of(mailbox, IMAP, empty="move:Nowhere"))
    fetch.clock.meanwhile = [ledger.record_arrived]
    fetch.request()
    mailbox.deliver(mail(3))
    fetch.request("run-2")
    assert len(mailbox.mails()) == 4
    assert mail(3) in ledger.raws, "fetching goes on"


def test_what_others_marked_as_deleted_stays(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    deliver_three(mailbox)
    with client_of(mailbox) as client:
        client.add_flags([2], [DELETED])
        fetch = fetching(account_of(mailbox, IMAP))
        fetch.clock.meanwhile = [ledger.record_arrived]
        fetch.request()
        assert mailbox.mails() == [HUMAN]
        assert DELETED in client.get_flags([2])[2]


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_a_deletion_without_a_goodbye(mailbox: Mailbox, way: Way) -> None:
    deliver_three(mailbox)
    with open_account(account_of(mailbox, way))(True) as opened:
        first = next(iter(opened.listing()))
        opened.delete([first.uid])
    left = [HUMAN, mail(2)] if way is IMAP else [mail(1), HUMAN, mail(2)]
    assert mailbox.mails() == left, "POP3 means it only at QUIT"


def test_pop3_cannot_move(mailbox: Mailbox) -> None:
    with open_account(account_of(mailbox, POP3))(True) as opened, pytest.raises(CannotClean):
        opened.move([], "Done")


def test_a_reading_login_cannot_delete(mailbox: Mailbox) -> None:
    mailbox.deliver(mail(1))
    with open_account(account_of(mailbox, IMAP))(False) as opened, pytest.raises(CannotClean):
        opened.delete(["1"])
    assert mailbox.mails() == [mail(1)]


@pytest.mark.parametrize("scheme", ["pop3s", "pop3", "imaps", "imap"])
def test_a_source_is_read_and_cleaned(mailbox: Mailbox, scheme: str, ledger: Ledger) -> None:
    deliver_three(mailbox)
    server = mailbox.server
    port = {"pop3s": server.pop3s_port, "pop3": server.pop3_port, "imaps": server.imaps_port, "imap": server.imap_port}
    url = f"{scheme}://{mailbox.user}@localhost:{port[scheme]}?ca={mailbox.ca_file}"
    read = list(open_source(url, mailbox.password))
    assert [found.raw for found in read] == [mail(1), HUMAN, mail(2)]
    assert len({found.name for found in read}) == 3
    names = {found.name: raw_id(found.raw) for found in read}
    judge = SqlCheckpoint(ledger.engine).judged
    assert clean_source(url, "bounces", names, judge, mailbox.password) == 0
    ledger.record([raw_id(mail(1)), raw_id(mail(2))], "bounce", "hard")
    ledger.record([raw_id(HUMAN)], "not-bounce", "ignore")
    mailbox.deliver(mail(3))
    ledger.record([raw_id(mail(3))], "bounce", "hard")
    assert clean_source(url, "bounces", names, judge, mailbox.password) == 2
    assert mailbox.mails() == [HUMAN, mail(3)], "recorded, but not read by this caller"


@pytest.mark.parametrize("scheme", ["pop3", "imap"])
def test_a_source_without_tls_only_when_told_so(mailbox: Mailbox, scheme: str) -> None:
    mailbox.deliver(mail(1))
    port = mailbox.server.pop3_port if scheme == "pop3" else mailbox.server.imap_port
    url = f"{scheme}://{mailbox.user}@localhost:{port}"
    [refused] = open_source(url, mailbox.password)
    assert "certificate" in (refused.error or "")
    assert [found.raw for found in open_source(url, mailbox.password, insecure=True)] == [mail(1)]
    assert [found.raw for found in open_source(f"{url}?tls=none", mailbox.password)] == [mail(1)]
