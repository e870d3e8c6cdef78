"""A run that a person drops while it is being fetched ends; what it found is found by the next."""

from collections.abc import Callable
from datetime import timedelta

from services.fetcher.fetching import SliceLimits
from services.fetcher.store_sql import SqlCheckpoint
from services.ledger.runs_sql import SqlRuns
from shared.bus import Message
from shared.topology import FETCHER_REQUESTS
from tests.integration.fetcher.conftest import IMAP, account_of
from tests.integration.fetcher.ledger import Ledger, mail
from tests.servers.dovecot import Mailbox


def test_its_next_slice_is_not_begun(mailbox: Mailbox, ledger: Ledger, fetching: Callable[..., object]) -> None:
    for number in range(12):
        mailbox.deliver(mail(number))
    runs = SqlRuns(ledger.engine)
    runs.hold("run-1")
    fetcher = fetching(account_of(mailbox, IMAP, empty="nothing"), limits=SliceLimits(mails=5))
    slices: list[Message] = []

    def drop_after_the_first(message: Message) -> None:
        slices.append(message)
        assert len(slices) < 9, "it goes on for ever"
        if len(slices) == 2:
            runs.drop("run-1", "tester", "")

    ledger.bus.listen(FETCHER_REQUESTS.routing_key, drop_after_the_first)
    fetcher.request("run-1")  # type: ignore[attr-defined]
    assert len(set(ledger.raws)) == len(ledger.raws) < 12
    fetcher.request("run-2")  # type: ignore[attr-defined]
    assert len(set(ledger.raws)) == 12


def test_the_next_run_waits_for_it_and_finds_its_mails(
    mailbox: Mailbox, ledger: Ledger, fetching: Callable[..., object]
) -> None:
    for number in range(3):
        mailbox.deliver(mail(number))
    runs, checkpoint = SqlRuns(ledger.engine), SqlCheckpoint(ledger.engine)
    runs.hold("run-1")
    fetcher = fetching(account_of(mailbox, IMAP, empty="nothing"), holder="second")
    clock = fetcher.clock  # type: ignore[attr-defined]

    def renew() -> None:
        checkpoint.take_lease("news", "first", clock(), clock() + timedelta(seconds=30))

    checkpoint.begin_run("run-1", "news", clock())
    renew()  # the first fetcher is at work on the held run
    runs.drop("run-1", "tester", "")
    clock.meanwhile += [renew] * 3 + [lambda: checkpoint.release_lease("news", "first")]
    fetcher.request("run-2")  # type: ignore[attr-defined]
    assert len(ledger.raws) == 3
