"""A checkpoint on each database, and a handler that works one account of the real mail server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from services.fetcher.accounts import Account, Accounts
from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.fetching import SliceLimits
from services.fetcher.handler import FetchHandler
from services.fetcher.login import PasswordLogin
from services.fetcher.ports import AccountBook
from services.fetcher.store_sql import SqlCheckpoint
from shared.bus import BatchLimits
from shared.secrets import SecretBox, new_key, open_secret_box
from shared.tables import connect, upgrade
from shared.tables.fetcher import bounce_account
from shared.topology import FETCHER_REQUESTS
from shared.wire import fetch_request_message
from tests.integration.fetcher.ledger import Clock, Ledger
from tests.servers import certificates, token_endpoint
from tests.servers.dovecot import Mailbox
from tests.servers.token_endpoint import TokenEndpoint

WAYS = [
    pytest.param((Protocol.POP3, Tls.IMPLICIT), id="pop3s"),
    pytest.param((Protocol.POP3, Tls.STARTTLS), id="pop3-stls"),
    pytest.param((Protocol.IMAP, Tls.IMPLICIT), id="imaps"),
    pytest.param((Protocol.IMAP, Tls.STARTTLS), id="imap-starttls"),
]

Way = tuple[Protocol, Tls]
POP3: Way = (Protocol.POP3, Tls.IMPLICIT)
IMAP: Way = (Protocol.IMAP, Tls.IMPLICIT)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Every protocol over every kind of TLS."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite database with the tables."""
    engine = connect(f"sqlite:///{tmp_path}/mailroom.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """Keeps what the fetcher publishes."""
    return Ledger(engine)


def account_of(
    mailbox: Mailbox,
    way: Way,
    *,
    empty: str = "bounces",
    folder: str = "INBOX",
    ca_file: Path | None = None,
    password: str | None = None,
    port: int | None = None,
) -> Account:
    """The account of a user of the mail server."""
    protocol, tls = way
    ports = {
        (Protocol.POP3, True): mailbox.server.pop3s_port,
        (Protocol.POP3, False): mailbox.server.pop3_port,
        (Protocol.IMAP, True): mailbox.server.imaps_port,
        (Protocol.IMAP, False): mailbox.server.imap_port,
    }
    endpoint = Endpoint(
        protocol, mailbox.host, port or ports[protocol, tls == Tls.IMPLICIT], tls, ca_file or mailbox.ca_file
    )
    login = PasswordLogin(mailbox.user, mailbox.password if password is None else password)
    return Account("news", endpoint, login, folder if protocol == Protocol.IMAP else "", read_emptying(empty), "list")


@dataclass
class Fetching:
    """The handler behind its queue."""

    ledger: Ledger
    account: Account
    handler: FetchHandler
    clock: Clock
    requests: list[str]

    def request(self, run_id: str = "run-1", account: str = "news") -> None:
        """Returns when the request and all its slices were handled."""
        request = {"schema_version": 1, "account": account, "run_id": run_id, "requested_at": datetime.now(UTC)}
        self.ledger.bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]


Fetch = Callable[..., Fetching]


@pytest.fixture
def fetching(ledger: Ledger) -> Fetch:
    """Makes the handler for an account; time passes only while it waits."""

    def make(
        account: Account,
        *,
        limits: SliceLimits | None = None,
        holder: str = "fetcher",
        accounts: AccountBook | None = None,
    ) -> Fetching:
        clock = Clock()
        handler = FetchHandler(
            accounts or Accounts({account.name: account}),
            SqlCheckpoint(ledger.engine),
            ledger.bus,
            holder=holder,
            wait=clock.wait,
            clock=clock,
            limits=limits or SliceLimits(),
        )
        requests: list[str] = []
        ledger.bus.listen(FETCHER_REQUESTS.routing_key, lambda message: requests.append(str(message.body)))
        ledger.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=1))
        return Fetching(ledger, account, handler, clock, requests)

    return make


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    """A certificate authority and a certificate for localhost."""
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def endpoint(files: certificates.Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenEndpoint]:
    """A token endpoint whose certificate is trusted; its tokens are numbered."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.ca_file))
    numbers = count(1)
    with token_endpoint.serving(files, lambda: f"canary-access-{next(numbers)}") as serving:
        yield serving


@pytest.fixture
def box() -> SecretBox:
    """Seals with a key of its own."""
    return open_secret_box({"MAILROOM_SECRET_KEY": new_key()})


def add_accounts(engine: Engine, *names: str) -> None:
    """Rows of bounce accounts that log in with tokens."""
    now = datetime.now(UTC)
    row = {"protocol": "imap", "host": "mail.example.net", "port": 993, "tls": "implicit", "login": "oauth2"}
    rows = [row | {"name": name, "user_name": name, "created_at": now, "updated_at": now} for name in names]
    with engine.begin() as connection:
        connection.execute(insert(bounce_account), rows)
