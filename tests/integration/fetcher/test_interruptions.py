"""A fetcher that is killed, stopped, or meets another at the same mailbox."""

import multiprocessing
import os
import signal
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from services.fetcher.accounts import Account, Accounts
from services.fetcher.emptying import read_emptying
from services.fetcher.errors import Interrupted
from services.fetcher.fetching import SliceLimits
from services.fetcher.store_sql import SqlCheckpoint
from shared.identity import raw_id
from shared.tables.fetcher import lease, run
from shared.tables.ledger import raw
from tests.integration.fetcher.conftest import IMAP, POP3, Fetch, Way, account_of
from tests.integration.fetcher.dying import POINTS, WINDOW, fetch_and_die
from tests.integration.fetcher.ledger import LONG_AGO, Ledger, mail
from tests.servers.dovecot import Mailbox

MAILS = [mail(number) for number in range(7)]
HUMAN = mail(100, subject="a human's")
KILLS = int(os.environ.get("MAILROOM_TEST_KILLS", "2"))
"""At each point, for each protocol."""


@pytest.fixture
def full(mailbox: Mailbox) -> Mailbox:
    for one in MAILS:
        mailbox.deliver(one)
    return mailbox


@pytest.mark.parametrize("repetition", range(KILLS))
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("way", [POP3, IMAP], ids=["pop3", "imap"])
def test_a_fetcher_that_is_killed_loses_nothing(
    full: Mailbox, way: Way, point: str, repetition: int, ledger: Ledger, fetching: Fetch, tmp_path: Path
) -> None:
    """The next one goes on: every mail is published, few twice, all recorded bounces are cleaned, and a human's mail stays."""
    full.deliver(HUMAN)
    account = account_of(full, way)
    published = tmp_path / "published"
    published.touch()
    url = ledger.engine.url.render_as_string(hide_password=False)
    time = 1 + repetition % (2 if point in ("publish", "confirm", "checkpoint") else 1)
    process = multiprocessing.get_context("spawn").Process(
        target=fetch_and_die, args=(url, account, point, time, published)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    by_the_dead = published.read_text().split()
    if point not in ("dele", "quit"):
        assert full.mails() == [*MAILS, HUMAN]

    def record_all() -> None:
        ledger.record_arrived()
        ledger.record([name for name in by_the_dead if name != raw_id(HUMAN)], "bounce", "hard", run_id="run-1")

    fetch = fetching(account)
    fetch.clock.meanwhile = [lambda: None] * 35 + [record_all]
    fetch.request()
    assert set(by_the_dead) | set(ledger.raw_ids) == {raw_id(mail) for mail in [*MAILS, HUMAN]}, "none is lost"
    assert len(by_the_dead) + len(ledger.raws) <= len(MAILS) + 1 + WINDOW, "at most one window twice"
    record_all()
    fetching(account, holder="the third").request("run-3")
    assert full.mails() == [HUMAN]
    with ledger.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(raw)).scalar_one() == len(MAILS) + 1


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


@pytest.mark.parametrize("jump", [timedelta(days=3), timedelta(days=-3)], ids=["forward", "back"])
def test_a_clock_that_jumps_neither_hurries_nor_holds_up(
    full: Mailbox, ledger: Ledger, fetching: Fetch, jump: timedelta
) -> None:
    """The ledger records nothing: the run ends after a minute of waiting, and its lease was renewed all the time."""
    fetch = fetching(account_of(full, IMAP))
    leases: list[datetime] = []

    def jump_once() -> None:
        fetch.clock.now += jump

    def look() -> None:
        with ledger.engine.begin() as connection:
            leases.append(connection.execute(select(lease.c.until)).scalar_one() - fetch.clock.now)

    fetch.clock.meanwhile = [look] * 5 + [jump_once] + [look] * 100
    fetch.request()
    assert 55 <= fetch.clock.waited_s <= 125
    assert all(timedelta(seconds=20) <= left <= timedelta(seconds=30) for left in leases[8:])


class _Book:
    """Accounts that a person changes."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts

    def find(self, name: str) -> Account:
        return Accounts(self._accounts).find(name)


@pytest.mark.parametrize("change", [{"emptying": read_emptying("nothing")}, None], ids=["nothing", "removed"])
def test_what_a_person_changes_while_a_run_waits_holds_for_its_cleaning(
    full: Mailbox, ledger: Ledger, fetching: Fetch, change: dict[str, Any] | None
) -> None:
    account = account_of(full, IMAP)
    accounts = {account.name: account}
    fetch = fetching(account, accounts=_Book(accounts))

    def record_and_change() -> None:
        ledger.record_arrived()
        del accounts[account.name]
        if change is not None:
            accounts[account.name] = replace(account, **change)

    fetch.clock.meanwhile = [record_and_change]
    fetch.request()
    assert len(ledger.raws) == len(MAILS)
    assert full.mails() == MAILS
