"""One account worked by the fetcher's own handler, in whatever process this runs in."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

import structlog
from sqlalchemy import Engine, text

from benchmarks.peak import MEBIBYTE, peak_bytes
from services.fetcher.accounts import Account, Accounts
from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.handler import FetchHandler, open_account
from services.fetcher.login import PasswordLogin
from services.fetcher.ports import Mailbox, OpenMailbox
from services.fetcher.store_sql import SqlCheckpoint
from shared.broker import BrokerBus
from shared.bus import Delivery, Message, Publisher
from shared.contract import FetchRequest
from shared.tables import connect
from shared.topology import FETCH, FETCHER_REQUESTS
from shared.wire import fetch_request_message

TOGETHER: Final = 50

# What the ledger writes of a bounce, for all that was found: its own speed is another part's figure.
_RECORD: Final = (
    """
    INSERT INTO raw (raw_id, run_id, received_at, kind, verdict, classifier_version, judged_at, truncated)
    SELECT DISTINCT raw_id, 'bench', now(), 'bounce', 'hard', 1, now(), false FROM found
    """,
    """
    INSERT INTO archive (raw_id, archived_at, size_bytes, truncated, body)
    SELECT DISTINCT raw_id, now(), 1, false, ''::bytea FROM found
    """,
    "ANALYZE",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox, in what can be handed to another process."""

    protocol: Protocol
    host: str
    port: int
    ca_file: Path
    user: str
    password: str
    tls: Tls

    def account(self, empty: str) -> Account:
        endpoint = Endpoint(self.protocol, self.host, self.port, self.tls, self.ca_file)
        folder = "INBOX" if self.protocol == Protocol.IMAP else ""
        return Account("bench", endpoint, PasswordLogin(self.user, self.password), folder, read_emptying(empty), "list")


@dataclass(frozen=True, slots=True)
class Figures:
    mails: int
    took_s: float
    peak_mib: float
    logins: int = 1

    @property
    def rate(self) -> float:
        return round(self.mails / self.took_s, 1)


def timed(read: Callable[[], int]) -> Figures:
    """Of a reading that says how many mails there were."""
    began = perf_counter()
    mails = read()
    return Figures(mails, perf_counter() - began, round(peak_bytes() / MEBIBYTE, 1))


def fetch(place: Place, database_url: str) -> Figures:
    """Every slice of a run, into a publisher that discards."""
    return _Work(place.account("nothing"), connect(database_url), None).figures()


def fetch_and_clean(place: Place, database_url: str, amqp_url: str) -> Figures:
    """The same into RabbitMQ; then what was found is recorded, while the fetcher waits for it, and is cleaned.

    That wait is not counted.
    """
    bus = BrokerBus(amqp_url)
    try:
        return _Work(place.account("bounces"), connect(database_url), bus).figures()
    finally:
        bus.close()


@dataclass
class _Work:
    account: Account
    engine: Engine
    publisher: Publisher | None
    mails: int = 0
    logins: int = 0
    waited_s: float = 0.0
    requests: list[Message] = field(default_factory=list)

    def figures(self) -> Figures:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        handler = FetchHandler(
            Accounts({self.account.name: self.account}),
            SqlCheckpoint(self.engine),
            self,
            holder="bench",
            wait=self._wait,
            opener=self._counting,
        )
        now = datetime.now(UTC)
        request: FetchRequest = {"schema_version": 1, "account": "bench", "run_id": "bench", "requested_at": now}
        self.requests.append(fetch_request_message(request))
        began = perf_counter()
        while self.requests:
            if handler([Delivery(self.requests.pop(), FETCHER_REQUESTS.name)]):
                raise SystemExit("the request was rejected: no figure")
        took_s = perf_counter() - began - self.waited_s
        self.engine.dispose()
        return Figures(self.mails, took_s, round(peak_bytes() / MEBIBYTE, 1), self.logins)

    def publish(self, messages: Iterable[Message]) -> None:
        mails = []
        for message in messages:
            (self.requests if message.routing_key == FETCH else mails).append(message)
        self.mails += len(mails)
        if self.publisher is not None and mails:
            self.publisher.publish(mails)

    def _counting(self, account: Account) -> OpenMailbox:
        open_mailbox = open_account(account)

        def count(to_clean: bool) -> AbstractContextManager[Mailbox]:
            self.logins += 1
            return open_mailbox(to_clean)

        return count

    def _wait(self, seconds: float) -> bool:
        if seconds:
            began = perf_counter()
            with self.engine.begin() as connection:
                for statement in _RECORD:
                    connection.execute(text(statement))
            self.waited_s += perf_counter() - began
        return False
