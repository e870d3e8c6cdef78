"""Fetching from a real mail server: all of it, once, and without a trace."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from imapclient import IMAPClient
from sqlalchemy import Engine, select

from services.fetcher.errors import CertificateRefused, LoginRefused
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import open_account
from shared.bus import REASON_HEADER, BrokerUnreachable, Delivery
from shared.identity import READ_LIMIT_BYTES, raw_id
from shared.tables.fetcher import found, run
from shared.topology import CLASSIFIER_RAW, LEDGER_DEAD
from shared.wire import read_raw_bounce
from tests.integration.fetcher.conftest import IMAP, POP3, Fetch, Way, account_of
from tests.integration.fetcher.ledger import Ledger, mail
from tests.servers import certificates
from tests.servers.dovecot import Mailbox

ONE_AT_A_TIME = SliceLimits(window_mails=1)


def flags(mailbox: Mailbox) -> dict[int, set[bytes]]:
    context = ssl.create_default_context(cafile=str(mailbox.ca_file))
    with IMAPClient(mailbox.host, mailbox.server.imaps_port, ssl_context=context) as client:
        client.login(mailbox.user, mailbox.password)
        client.select_folder("INBOX", readonly=True)
        answers = client.fetch(client.search("ALL"), ["FLAGS"])
        return {uid: set(answer[b"FLAGS"]) - {b"\\Seen", b"\\Recent"} for uid, answer in answers.items()}


def last_error(engine: Engine, run_id: str = "run-1") -> str | None:
    with engine.begin() as connection:
        error: str | None = connection.execute(select(run.c.last_error).where(run.c.run_id == run_id)).scalar_one()
        return error


def test_all_is_fetched_and_nothing_changes(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    mails = [mail(number) for number in range(12)]
    for one in mails:
        mailbox.deliver(one)
    before, flags_before = mailbox.mails(), flags(mailbox)
    fetch = fetching(account_of(mailbox, way, empty="nothing"))
    fetch.request()
    assert sorted(ledger.raws) == sorted(mails)
    assert mailbox.mails() == before
    assert flags(mailbox) == flags_before
    fetch.request("run-2")
    assert len(ledger.raws) == len(mails), "what is known is not fetched again"


def test_what_is_published_says_where_it_came_from(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    mailbox.deliver(mail(1), received_at=1_700_000_000)
    fetching(account_of(mailbox, IMAP, empty="nothing")).request()
    [delivery] = ledger.deliveries
    bounce = read_raw_bounce(delivery.message)
    assert (bounce["account"], bounce["list_id"], bounce["run_id"]) == ("news", "list", "run-1")
    assert bounce["received_at"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert not bounce["truncated"]


def test_an_unknown_authority_is_refused_before_the_login(mailbox: Mailbox, way: Way, tmp_path: Path) -> None:
    other = certificates.make(tmp_path)
    with pytest.raises(CertificateRefused, match="ca_file"):
        open_account(account_of(mailbox, way, ca_file=other.ca_file))(False)


def test_a_certificate_of_another_name_is_refused(mailbox: Mailbox, way: Way) -> None:
    from dataclasses import replace

    account = account_of(mailbox, way)
    account = replace(account, endpoint=replace(account.endpoint, host="127.1"))
    with pytest.raises(CertificateRefused, match=r"127\.1 "):
        open_account(account)(False)


def test_a_wrong_password_is_said_and_is_no_dead_letter(
    mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch
) -> None:
    account = account_of(mailbox, way, password='canary " \\ ü')
    with pytest.raises(LoginRefused) as refused:
        open_account(account)(False)
    assert "canary" not in str(refused.value)
    fetching(account).request()
    assert "refused the login" in (last_error(ledger.engine) or "")


def test_a_password_of_any_characters(dovecot: object, mailbox: Mailbox, way: Way) -> None:
    server = mailbox.server
    for number, password in enumerate(('a "quoted\\ one', "pässwörd", "two words")):
        user = f"{mailbox.user}-{number}-{way[0]}-{way[1]}"
        other = server.mailbox(user, password)
        with open_account(account_of(other, way))(False) as opened:
            assert list(opened.listing()) == []


def test_a_server_that_is_away_ends_the_request(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    fetching(account_of(mailbox, IMAP, port=1)).request()
    assert "refused the connection" in (last_error(ledger.engine) or "")


def test_a_folder_that_is_missing(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    fetching(account_of(mailbox, IMAP, folder="Nowhere")).request()
    assert "'Nowhere' cannot be opened" in (last_error(ledger.engine) or "")


def test_an_unknown_account_is_a_dead_letter(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    dead: list[Delivery] = []

    def keep(batch: object) -> list[object]:
        dead.extend(batch)  # type: ignore[arg-type]
        return []

    ledger.bus.subscribe(LEDGER_DEAD.name, keep)  # type: ignore[arg-type]
    fetching(account_of(mailbox, IMAP)).request(account="other")
    assert "no account 'other'" in str(dead[0].message.headers[REASON_HEADER])


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_a_large_mail_is_cut(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    large = mail(1, size_bytes=3_000_000)
    for one in (mail(0), large, mail(2)):
        mailbox.deliver(one)
    fetching(account_of(mailbox, way, empty="nothing")).request()
    assert sorted(ledger.raws) == sorted([mail(0), large[:READ_LIMIT_BYTES], mail(2)])
    cut = [read_raw_bounce(delivery.message)["truncated"] for delivery in ledger.deliveries]
    assert sorted(cut) == [False, False, True]


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
@pytest.mark.parametrize("line", [b"\r\n", b"x" * 998 + b"\r\n"], ids=["empty lines", "long lines"])
def test_a_large_mail_is_cut_whatever_its_lines(
    mailbox: Mailbox, way: Way, line: bytes, ledger: Ledger, fetching: Fetch
) -> None:
    large = b"Subject: bounce\r\n\r\n" + line * (20_000_000 // len(line))
    mailbox.deliver(large)
    mailbox.deliver(mail(2))
    fetching(account_of(mailbox, way, empty="nothing")).request()
    assert sorted(ledger.raw_ids) == sorted([raw_id(large[:READ_LIMIT_BYTES]), raw_id(mail(2))])


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
@pytest.mark.parametrize("length", [2_047, 2_048, 5_000, 400_000])
def test_a_long_line(mailbox: Mailbox, way: Way, length: int, ledger: Ledger, fetching: Fetch) -> None:
    one = b"Subject: bounce\r\n\r\n" + b"y" * length + b"\r\nend\r\n"
    mailbox.deliver(one)
    mailbox.deliver(mail(2))
    fetching(account_of(mailbox, way, empty="nothing")).request()
    assert sorted(ledger.raws) == sorted([one, mail(2)])


def test_a_slice_hands_the_rest_on(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    for number in range(8):
        mailbox.deliver(mail(number))
    fetch = fetching(account_of(mailbox, way, empty="nothing"), limits=SliceLimits(mails=3, window_mails=2))
    fetch.request()
    assert len(fetch.requests) == 3
    assert len(set(fetch.requests)) == 1, "the same run"
    assert sorted(ledger.raws) == sorted(mail(number) for number in range(8))
    with ledger.engine.begin() as connection:
        row = connection.execute(select(run)).one()
    assert row.fetched_at is not None
    assert row.finished_at is not None


def test_a_new_uidvalidity_starts_anew(mailbox: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    context = ssl.create_default_context(cafile=str(mailbox.ca_file))
    fetch = fetching(account_of(mailbox, IMAP, empty="nothing", folder="Bounces"))
    with IMAPClient(mailbox.host, mailbox.server.imaps_port, ssl_context=context) as client:
        client.login(mailbox.user, mailbox.password)
        client.create_folder("Bounces")
        client.append("Bounces", mail(1))
        fetch.request()
        client.delete_folder("Bounces")
        client.create_folder("Bounces")
        client.append("Bounces", mail(2))
    fetch.request("run-2")
    assert ledger.raws == [mail(1), mail(2)], "the new mail has the old one's UID"
    with ledger.engine.begin() as connection:
        assert [row.raw_id for row in connection.execute(select(found))] == [raw_id(mail(2))]


def test_a_broker_that_goes_away_costs_a_window(mailbox: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    for number in range(6):
        mailbox.deliver(mail(number))
    is_up = [True, True, False]

    def keep(batch: object) -> list[object]:
        if not (is_up.pop(0) if is_up else True):
            raise BrokerUnreachable("gone")
        ledger.deliveries.extend(batch)  # type: ignore[arg-type]
        return []

    ledger.bus.subscribe(CLASSIFIER_RAW.name, keep)  # type: ignore[arg-type]
    account = account_of(mailbox, way, empty="nothing")
    with pytest.raises(BrokerUnreachable):
        fetching(account, limits=ONE_AT_A_TIME).request()
    assert len(ledger.raws) == 2
    fetching(account, limits=ONE_AT_A_TIME, holder="another").request()
    assert sorted(ledger.raws) == sorted(mail(number) for number in range(6))
