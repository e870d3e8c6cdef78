"""A fetcher that is killed, stopped, or meets another at the same mailbox."""

import multiprocessing
import signal
from datetime import timedelta

import pytest
from sqlalchemy import select

from services.fetcher.errors import Interrupted
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import Patience
from services.fetcher.store_sql import SqlCheckpoint
from shared.tables.fetcher import lease, run
from tests.integration.fetcher.conftest import IMAP, POP3, Fetch, Way, account_of
from tests.integration.fetcher.dying import fetch_and_die
from tests.integration.fetcher.ledger import LONG_AGO, Ledger, mail
from tests.servers.dovecot import Mailbox

MAILS = [mail(number) for number in range(7)]


@pytest.fixture
def full(mailbox: Mailbox) -> Mailbox:
    for one in MAILS:
        mailbox.deliver(one)
    return mailbox


@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_a_killed_fetcher_costs_one_window(full: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    account = account_of(full, way)
    url = ledger.engine.url.render_as_string(hide_password=False)
    process = multiprocessing.get_context("spawn").Process(target=fetch_and_die, args=(url, account, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert full.mails() == MAILS

    fetch = fetching(account)
    fetch.clock.meanwhile = [lambda: None] * 35 + [ledger.record_arrived]
    fetch.request()
    assert sorted(ledger.raws) == sorted(MAILS[2:]), "the first window was remembered, the second comes again"
    assert fetch.clock.waited_s >= Patience().lease.total_seconds(), "the lease of the dead ran out first"
    assert full.mails() == MAILS[:2], "recorded or not, the dead one's window was never seen by this ledger"


def test_a_mailbox_that_another_works_is_left_to_it(full: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    store = SqlCheckpoint(ledger.engine)
    store.take_lease("news", "another", LONG_AGO, LONG_AGO + timedelta(minutes=4))
    fetch = fetching(account_of(full, IMAP))

    def renew() -> None:
        store.take_lease("news", "another", fetch.clock.now, fetch.clock.now + timedelta(minutes=4))

    fetch.clock.meanwhile = [renew]
    fetch.request()
    assert ledger.raws == []
    with ledger.engine.begin() as connection:
        assert "another fetcher" in connection.execute(select(run.c.last_error)).scalar_one()
        assert connection.execute(select(lease.c.holder)).scalar_one() == "another"


def test_a_stop_keeps_what_was_read(full: Mailbox, way: Way, ledger: Ledger, fetching: Fetch) -> None:
    fetch = fetching(account_of(full, way, empty="nothing"), limits=SliceLimits(window_mails=2))
    ledger.bus.listen("bounce.raw", lambda _message: setattr(fetch.clock, "is_stopping", True))
    with pytest.raises(Interrupted):
        fetch.request()
    assert len(ledger.raws) == 2
    fetch.clock.is_stopping = False
    ledger.bus = type(ledger.bus)()
    ledger.__post_init__()
    fetching(account_of(full, way, empty="nothing"), holder="the next").request()
    assert sorted(ledger.raws) == sorted(MAILS)


def test_a_stop_while_the_ledger_is_waited_for(full: Mailbox, ledger: Ledger, fetching: Fetch) -> None:
    fetch = fetching(account_of(full, IMAP))
    fetch.clock.meanwhile = [lambda: setattr(fetch.clock, "is_stopping", True)]
    with pytest.raises(Interrupted):
        fetch.request()
    assert len(ledger.raws) == len(MAILS)
    with ledger.engine.begin() as connection:
        assert connection.execute(select(lease)).all() == [], "the next fetcher need not wait"
