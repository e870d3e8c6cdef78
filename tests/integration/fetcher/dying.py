"""A fetcher in a process of its own that kills itself, with SIGKILL, at a named point."""

import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from services.fetcher.accounts import Account, Accounts
from services.fetcher.errors import MailUnreadable
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import FetchHandler, open_account
from services.fetcher.mailbox_imap import ImapMailbox
from services.fetcher.mailbox_pop3 import Pop3Mailbox
from services.fetcher.ports import Fetched, FoundMail, Listed, Mailbox, OpenMailbox, Place
from services.fetcher.store_sql import SqlCheckpoint
from shared.bus import BatchLimits, Message
from shared.identity import raw_id
from shared.tables import connect
from shared.topology import FETCHER_REQUESTS, RAW
from shared.wire import fetch_request_message
from tests.integration.fetcher.ledger import LONG_AGO, Ledger

POINTS: Final = ("read", "publish", "confirm", "checkpoint", "dele", "quit")
"""After each of them; `quit` = QUIT or LOGOUT is sent, and its answer not read."""
WINDOW: Final = 2


def fetch_and_die(url: str, account: Account, point: str, time: int, published: Path) -> None:
    """Die at that point's so many-th time. The file has the raw_id of every mail before its publish returns."""
    ledger = Ledger(connect(url))
    killer = _Killer(point, time)

    def note(message: Message) -> None:
        with published.open("a") as file:
            file.write(f"{raw_id(message.body)}\n")
        killer.pass_by("publish")

    ledger.bus.listen(RAW, note)
    handler = FetchHandler(
        Accounts({account.name: account}),
        _Checkpoint(ledger.engine, killer),
        _Publisher(ledger, killer),
        holder="the killed one",
        wait=lambda seconds: ledger.record_arrived() if seconds else False,  # type: ignore[arg-type, return-value]
        opener=lambda known: _opener(known, killer),
        clock=lambda: LONG_AGO,
        limits=SliceLimits(window_mails=WINDOW),
    )
    ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
    request = {"schema_version": 1, "account": account.name, "run_id": "run-1", "requested_at": LONG_AGO}
    ledger.bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]


class _Killer:
    def __init__(self, point: str, time: int) -> None:
        self._point = point
        self._left = time

    def pass_by(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def is_at(self, point: str) -> bool:
        return point == self._point


class _Publisher:
    def __init__(self, ledger: Ledger, killer: _Killer) -> None:
        self._ledger = ledger
        self._killer = killer

    def publish(self, messages: Iterable[Message]) -> None:
        self._ledger.bus.publish(messages)
        self._killer.pass_by("confirm")


class _Checkpoint(SqlCheckpoint):
    def __init__(self, engine: object, killer: _Killer) -> None:
        super().__init__(engine)  # type: ignore[arg-type]
        self._killer = killer

    def add(self, place: Place, run_id: str, mails: Sequence[FoundMail], now: object) -> None:
        super().add(place, run_id, mails, now)  # type: ignore[arg-type]
        self._killer.pass_by("checkpoint")


def _opener(account: Account, killer: _Killer) -> OpenMailbox:
    """The account's own mailbox, which passes by the killer."""
    open_mailbox = open_account(account)

    def opened(to_clean: bool) -> AbstractContextManager[Mailbox]:
        mailbox = open_mailbox(to_clean)
        assert isinstance(mailbox, Pop3Mailbox | ImapMailbox)
        read, delete = mailbox.read, mailbox.delete

        def read_and(mails: Sequence[Listed]) -> dict[str, Fetched | MailUnreadable]:
            readings = read(mails)
            killer.pass_by("read")
            return readings

        def delete_and(uids: Sequence[str]) -> list[str]:
            gone = delete(uids)
            if gone:
                killer.pass_by("dele")
            return gone

        def say_goodbye_and() -> None:
            if killer.is_at("quit"):
                if isinstance(mailbox, Pop3Mailbox):
                    mailbox._wire.send([b"QUIT"])
                else:
                    mailbox._imap.send(b"bye LOGOUT\r\n")
                killer.pass_by("quit")
            type(mailbox).logout(mailbox)  # type: ignore[arg-type]

        mailbox.read, mailbox.delete = read_and, delete_and  # type: ignore[method-assign]
        mailbox.logout = say_goodbye_and  # type: ignore[method-assign]
        return mailbox

    return opened
