"""The whole way: a token endpoint gives what the real mail server takes, and the fetcher fetches."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, inspect, select, text

from services.fetcher.accounts import Account
from services.fetcher.errors import GrantOver, TokenRefused
from services.fetcher.grants import Obtained, RefreshToken
from services.fetcher.handler import open_account
from services.fetcher.login_factory import with_tokens
from services.fetcher.tokens_sql import OAUTH2, SqlTokens
from shared.secrets import SecretBox
from shared.tables.fetcher import run
from tests.integration.fetcher.conftest import Fetch, Way, account_of, add_accounts
from tests.integration.fetcher.ledger import Ledger
from tests.servers.dovecot import Mailbox
from tests.servers.token_endpoint import TokenEndpoint

MAIL = b"Subject: bounce\r\n\r\nbody\r\n"
SECRET = "canary-client-secret"
PURPOSE = "the account 'news'"
HOUR = timedelta(hours=1)

LogIn = Callable[..., Account]


@pytest.fixture
def logged_in(mailbox: Mailbox, way: Way, engine: Engine, box: SecretBox, endpoint: TokenEndpoint) -> LogIn:
    """Makes the account of the mailbox, whose login is in the database with this access token."""
    endpoint.issue = lambda: mailbox.server.token(mailbox.user)

    def make(access_token: str, lifetime: timedelta = HOUR) -> Account:
        add_accounts(engine, "news")
        account = account_of(mailbox, way)
        grant = RefreshToken("app-1", SECRET, endpoint.token_uri)
        obtained = Obtained(access_token, lifetime, endpoint.refresh_token)
        SqlTokens(engine, box, PURPOSE).log_in("news", grant, obtained)
        return replace(account, login=with_tokens(engine, lambda: box)("news", OAUTH2, mailbox.user, "", PURPOSE))

    return make


def listed(account: Account) -> int:
    with open_account(account)(False) as mailbox:
        count = len(list(mailbox.listing()))
        mailbox.logout()
        return count


def test_a_token_that_ended_is_renewed_before_it_is_sent(
    mailbox: Mailbox, logged_in: LogIn, endpoint: TokenEndpoint
) -> None:
    mailbox.deliver(MAIL)
    account = logged_in(mailbox.server.token(mailbox.user, lifetime_s=-60), timedelta(0))
    assert [listed(account) for _ in range(3)] == [1, 1, 1]
    assert len(endpoint.asked) == 1


def test_a_token_that_the_mail_server_refuses_is_renewed_once(
    mailbox: Mailbox, logged_in: LogIn, endpoint: TokenEndpoint
) -> None:
    """Its end is an hour away as far as we know: a changed password, a restarted server, a clock."""
    mailbox.deliver(MAIL)
    account = logged_in(mailbox.server.token(mailbox.user, lifetime_s=-60))
    assert [listed(account) for _ in range(3)] == [1, 1, 1]
    assert len(endpoint.asked) == 1


def test_tokens_that_are_all_refused_end_in_one_error(
    mailbox: Mailbox, logged_in: LogIn, endpoint: TokenEndpoint
) -> None:
    endpoint.issue = lambda: mailbox.server.token("somebody-else")
    with pytest.raises(TokenRefused):
        listed(logged_in(mailbox.server.token("somebody-else")))
    assert len(endpoint.asked) == 1


def test_a_revoked_grant_and_a_refused_token_ask_for_a_new_login(
    mailbox: Mailbox, logged_in: LogIn, endpoint: TokenEndpoint
) -> None:
    endpoint.refusal = (400, {"error": "invalid_grant", "error_description": "Token has been revoked."})
    account = logged_in(mailbox.server.token(mailbox.user, lifetime_s=-60))
    for _ in range(5):
        with pytest.raises(GrantOver, match=r"revoked.*mailroom lists login news"):
            listed(account)
    assert len(endpoint.asked) == 1


def test_mails_are_fetched_and_no_token_is_left_anywhere(
    mailbox: Mailbox,
    logged_in: LogIn,
    endpoint: TokenEndpoint,
    ledger: Ledger,
    fetching: Fetch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    mailbox.deliver(MAIL)
    issued = [mailbox.server.token(mailbox.user, lifetime_s=-60)]

    def issue() -> str:
        issued.append(mailbox.server.token(mailbox.user))
        return issued[-1]

    endpoint.issue = issue
    fetch = fetching(logged_in(issued[0]))
    fetch.request()
    assert ledger.raws == [MAIL]
    endpoint.issue = lambda: "canary-useless"
    endpoint.refusal = (400, {"error": "invalid_grant", "error_description": f"{endpoint.refresh_token} is no more"})
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE login_token SET expires_at = updated_at, quiet_until = NULL"))
    fetch.request("run-2")
    with ledger.engine.connect() as connection:
        error = connection.execute(select(run.c.last_error).where(run.c.run_id == "run-2")).scalar_one()
        assert "mailroom lists login news" in error
        names = inspect(connection).get_table_names()
        dump = repr([tuple(row) for name in names for row in connection.execute(text(f'SELECT * FROM "{name}"'))])
    output = capfd.readouterr()
    seen = dump + output.out + output.err + caplog.text + repr(fetch.account) + repr(fetch.requests)
    assert len(issued) == 2
    for secret in (*issued, "canary", SECRET):
        assert secret not in seen, f"{secret[:20]}… at {seen.find(secret)}"
