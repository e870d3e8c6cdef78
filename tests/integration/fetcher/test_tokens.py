"""Tokens that many processes share: renewed early and once, kept sealed, and asked for sparingly when there are none."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, select, text, update

from services.fetcher.errors import GrantOver, TokenEndpointUnreachable
from services.fetcher.grants import Obtained, RefreshToken
from services.fetcher.tokens import StoredTokens
from services.fetcher.tokens_sql import SqlTokens
from shared.secrets import SecretBox, new_key, open_secret_box
from shared.tables import connect, upgrade
from shared.tables.fetcher import bounce_account, login_token
from tests.integration.fetcher.conftest import add_accounts
from tests.servers.token_endpoint import TokenEndpoint
from tests.servers.waiting import eventually

SECRET = "canary-client-secret"
HOUR = timedelta(hours=1)


@dataclass
class Shared:
    """One database, and a person's login in it."""

    url: str
    engine: Engine
    box: SecretBox
    endpoint: TokenEndpoint

    def log_in(self, *, left: timedelta = HOUR, of: timedelta = HOUR, access_token: str = "canary-access-0") -> None:
        """A login with an access token that ends in `left`, and lived `of` in all."""
        grant = RefreshToken("app-1", SECRET, self.endpoint.token_uri)
        SqlTokens(self.engine, self.box, "news").log_in(
            "news", grant, Obtained(access_token, of, refresh_token=self.endpoint.refresh_token)
        )
        self.age(of - left)

    def age(self, by: timedelta) -> None:
        """As if so much time had passed since then."""
        with self.engine.begin() as connection:
            row = connection.execute(select(login_token)).one()
            quiet_until = row.quiet_until and row.quiet_until - by
            times = {"updated_at": row.updated_at - by, "expires_at": row.expires_at - by, "quiet_until": quiet_until}
            connection.execute(update(login_token).values(times))

    def tokens(self, purpose: str = "news", **options: float) -> StoredTokens:
        """As another process has them."""
        return StoredTokens(SqlTokens(self.engine, self.box, purpose), **options)

    def dump(self) -> str:
        with self.engine.connect() as connection:
            return repr([tuple(row) for row in connection.execute(select(login_token))])


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, endpoint: TokenEndpoint, box: SecretBox) -> Iterator[Shared]:
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/mailroom.db"
    else:
        url = request.getfixturevalue("database_url")
    engine = connect(url)
    upgrade(engine)
    add_accounts(engine, "news", "other")
    yield Shared(url, engine, box, endpoint)
    engine.dispose()


def test_a_token_that_is_good_is_given_without_asking(shared: Shared) -> None:
    shared.log_in(left=timedelta(minutes=6))
    assert shared.tokens().token("news") == "canary-access-0"
    assert shared.endpoint.asked == []


def test_it_is_renewed_before_its_end(shared: Shared) -> None:
    shared.log_in(left=timedelta(minutes=4))
    assert shared.tokens().token("news") == "canary-access-1"
    assert shared.tokens().token("news") == "canary-access-1"
    assert len(shared.endpoint.asked) == 1


def test_a_short_one_is_renewed_at_half_its_life(shared: Shared) -> None:
    shared.endpoint.lifetime_s = 60
    shared.log_in(left=timedelta(seconds=-1))
    assert [shared.tokens().token("news") for _ in range(3)] == ["canary-access-1"] * 3
    shared.age(timedelta(seconds=31))
    assert shared.tokens().token("news") == "canary-access-2"


def test_a_new_refresh_token_replaces_the_old_one(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    for number in range(1, 4):
        assert shared.tokens().token("news") == f"canary-access-{number}"
        shared.age(HOUR)
    assert [asked["refresh_token"] for asked in shared.endpoint.asked] == [f"canary-refresh-{n}" for n in range(3)]


def test_a_refresh_token_that_stays_is_used_again(shared: Shared) -> None:
    shared.endpoint.rotates = False
    shared.log_in(left=timedelta(0))
    for _ in range(2):
        shared.tokens().token("news")
        shared.age(HOUR)
    assert [asked["refresh_token"] for asked in shared.endpoint.asked] == ["canary-refresh-0"] * 2


def at_once(callers: int, call: Callable[[], str]) -> list[str]:
    barrier = threading.Barrier(callers)

    def together() -> str:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(callers) as pool:
        return [future.result(60) for future in [pool.submit(together) for _ in range(callers)]]


def test_ten_at_once_ask_once(shared: Shared) -> None:
    """Each caller with a connection pool of its own, as ten processes have."""
    shared.log_in(left=timedelta(0))
    engines = [connect(shared.url) for _ in range(10)]
    each = iter([StoredTokens(SqlTokens(engine, shared.box, "news")) for engine in engines])
    lock = threading.Lock()

    def call() -> str:
        with lock:
            tokens = next(each)
        return tokens.token("news")

    assert at_once(10, call) == ["canary-access-1"] * 10
    assert len(shared.endpoint.asked) == 1
    for engine in engines:
        engine.dispose()


def test_who_read_before_another_renewed_does_not_ask_again(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    store = SqlTokens(shared.engine, shared.box, "news")
    seen = store.read("news")
    assert seen is not None
    assert shared.tokens().token("news") == "canary-access-1"
    assert store.claim("news", "late", seen, timedelta(minutes=2)) is None
    assert shared.tokens().token("news") == "canary-access-1"


def test_while_one_asks_the_others_use_the_token_that_is_there(shared: Shared) -> None:
    shared.log_in(left=timedelta(minutes=2))
    shared.endpoint.until = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(shared.tokens().token, "news")
        eventually(lambda: shared.endpoint.asked)
        assert shared.tokens().token("news") == "canary-access-0"
        shared.endpoint.until.set()
        assert asking.result(30) == "canary-access-1"
    assert len(shared.endpoint.asked) == 1


def test_who_waits_too_long_for_another_says_so(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    shared.endpoint.until = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(shared.tokens().token, "news")
        eventually(lambda: shared.endpoint.asked)
        with pytest.raises(TokenEndpointUnreachable, match="another process"):
            shared.tokens(patience_s=0.2).token("news")
        shared.endpoint.until.set()
        assert asking.result(30) == "canary-access-1"


def test_a_process_that_died_while_it_asked_is_replaced(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    store = SqlTokens(shared.engine, shared.box, "news")
    known = store.read("news")
    assert known is not None
    dead = store.claim("news", "died", known, timedelta(minutes=2))
    assert dead is not None
    shared.age(timedelta(minutes=3))
    assert shared.tokens().token("news") == "canary-access-1"
    store.keep(dead, Obtained("canary-late", HOUR, "canary-late"))
    assert shared.tokens().token("news") == "canary-access-1", "its claim was over"


def lapse(shared: Shared) -> None:
    """As if the process that asks had been silent for longer than its claim lasts."""
    with shared.engine.begin() as connection:
        row = connection.execute(select(login_token)).one()
        connection.execute(update(login_token).values(quiet_until=row.quiet_until - timedelta(minutes=3)))


def test_a_slow_winner_keeps_the_refresh_token_that_only_it_has(shared: Shared) -> None:
    """Its claim lapsed, and another asked with the same refresh token, which the endpoint takes once."""
    shared.log_in(left=timedelta(0))
    store = SqlTokens(shared.engine, shared.box, "news")
    known = store.read("news")
    assert known is not None
    slow = store.claim("news", "slow", known, timedelta(minutes=2))
    assert slow is not None
    obtained = slow.grant.obtain(slow.refresh_token)
    lapse(shared)
    with pytest.raises(GrantOver):
        shared.tokens().token("news")
    store.keep(slow, obtained)
    assert shared.tokens().token("news") == "canary-access-1"
    shared.age(HOUR)
    shared.tokens().token("news")
    assert shared.endpoint.asked[-1]["refresh_token"] == "canary-refresh-1"


def test_a_slow_winner_does_not_write_over_a_new_login(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    store = SqlTokens(shared.engine, shared.box, "news")
    known = store.read("news")
    assert known is not None
    slow = store.claim("news", "slow", known, timedelta(minutes=2))
    assert slow is not None
    shared.endpoint.refresh_token = "canary-refresh-new"
    shared.log_in(access_token="canary-access-new")
    store.keep(slow, Obtained("canary-late", HOUR, "canary-late"))
    assert shared.tokens().token("news") == "canary-access-new"
    shared.age(HOUR)
    shared.tokens().token("news")
    assert shared.endpoint.asked[-1]["refresh_token"] == "canary-refresh-new"


def test_a_new_refresh_token_outlives_a_database_that_is_away(shared: Shared) -> None:
    """Away from when the endpoint has answered until the third time that somebody waits for it."""
    shared.log_in(left=timedelta(0))
    waited: list[float] = []
    asked, issue = shared.endpoint.asked, shared.endpoint.issue

    def rename(old: str, new: str) -> None:
        with shared.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def issue_and_go() -> str:
        rename("login_token", "login_token_away")
        return issue()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            rename("login_token_away", "login_token")

    shared.endpoint.issue = issue_and_go
    assert StoredTokens(SqlTokens(shared.engine, shared.box, "news"), wait).token("news") == "canary-access-1"
    assert len(waited) == 3
    shared.endpoint.issue = issue
    shared.age(HOUR)
    shared.tokens().token("news")
    assert asked[-1]["refresh_token"] == "canary-refresh-1"


@pytest.mark.parametrize("column", ["sealed_grant", "sealed_refresh_token"])
def test_what_does_not_open_holds_no_claim(shared: Shared, column: str) -> None:
    shared.log_in(left=timedelta(0))
    with shared.engine.begin() as connection:
        connection.execute(update(login_token).values({column: "damaged"}))
    for _ in range(2):
        with pytest.raises(GrantOver, match="mailroom lists login news"):
            shared.tokens(patience_s=0.2).token("news")
    assert shared.endpoint.asked == []


def test_a_refused_token_is_replaced(shared: Shared) -> None:
    shared.log_in()
    tokens = shared.tokens()
    assert tokens.renew("news", "canary-access-0")
    assert tokens.token("news") == "canary-access-1"
    assert tokens.renew("news", "canary-access-0"), "another process replaced it already"
    assert len(shared.endpoint.asked) == 1


def test_a_revoked_grant_is_an_error_with_advice_and_no_storm(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    shared.endpoint.refusal = (400, {"error": "invalid_grant", "error_description": "Token has been revoked."})
    for _ in range(20):
        with pytest.raises(GrantOver, match=r"revoked.*mailroom lists login news"):
            shared.tokens().token("news")
    assert len(shared.endpoint.asked) == 1
    shared.age(timedelta(minutes=16))
    with pytest.raises(GrantOver):
        shared.tokens().token("news")
    assert len(shared.endpoint.asked) == 2


def test_a_new_login_ends_the_error(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    shared.endpoint.refusal = (400, {"error": "invalid_grant"})
    with pytest.raises(GrantOver):
        shared.tokens().token("news")
    shared.endpoint.refusal = None
    shared.log_in(access_token="canary-access-new")
    assert shared.tokens().token("news") == "canary-access-new"


def test_an_endpoint_that_is_away_costs_nothing_while_the_old_token_is_good(shared: Shared) -> None:
    shared.log_in(left=timedelta(minutes=4))
    shared.endpoint.refusal = (503, {"error": "temporarily_unavailable"})
    assert [shared.tokens().token("news") for _ in range(5)] == ["canary-access-0"] * 5
    shared.age(timedelta(minutes=5))
    shared.endpoint.refusal = None
    assert shared.tokens().token("news") == "canary-access-1"


def test_an_endpoint_that_is_away_is_asked_seldom(shared: Shared) -> None:
    shared.log_in(left=timedelta(0))
    shared.endpoint.port, port = 1, shared.endpoint.port  # nobody listens there
    shared.log_in(left=timedelta(0))
    shared.endpoint.port = port
    with pytest.raises(TokenEndpointUnreachable, match="the connection was refused"):
        shared.tokens().token("news")
    with pytest.raises(TokenEndpointUnreachable, match="a moment ago"):
        shared.tokens().token("news")


def test_nobody_has_logged_in(shared: Shared) -> None:
    with pytest.raises(GrantOver, match="mailroom lists login news"):
        shared.tokens().token("news")


def test_nothing_secret_stands_in_the_database_or_in_a_log(shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    shared.log_in(left=timedelta(0))
    shared.tokens().token("news")
    shared.age(HOUR)
    shared.endpoint.refusal = (400, {"error": "invalid_grant", "error_description": "canary-refresh-1 is over"})
    with pytest.raises(GrantOver):
        shared.tokens().token("news")
    output = capsys.readouterr()
    assert "canary" not in shared.dump() + output.out + output.err
    assert "token_renewed" in output.out + output.err
    assert "token_not_renewed" in output.out + output.err


def test_a_sealed_token_opens_for_its_account_only(shared: Shared) -> None:
    shared.log_in()
    with shared.engine.begin() as connection:
        connection.execute(update(login_token).values(account="other"))
    with pytest.raises(GrantOver, match="sealed for something else"):
        shared.tokens("other").token("other")


def test_a_sealed_token_is_sent_to_no_other_place(shared: Shared) -> None:
    """Whoever can change the account's host in the database gets no token sent to it."""
    there = SqlTokens(shared.engine, shared.box, "the account 'news' (joe at mail.example.net)")
    grant = RefreshToken("app-1", SECRET, shared.endpoint.token_uri)
    there.log_in("news", grant, Obtained("canary-access-0", HOUR))
    assert StoredTokens(there).token("news") == "canary-access-0"
    with pytest.raises(GrantOver, match="sealed for something else"):
        StoredTokens(SqlTokens(shared.engine, shared.box, "the account 'news' (joe at evil.example.net)")).token("news")


def test_a_key_that_is_gone_is_an_error_of_this_account_alone(shared: Shared) -> None:
    shared.log_in()
    shared.box = open_secret_box({"MAILROOM_SECRET_KEY": new_key()})
    with pytest.raises(GrantOver, match=r"add the old key.*mailroom lists login news"):
        shared.tokens().token("news")


def test_the_password_goes_when_a_token_comes(shared: Shared) -> None:
    with shared.engine.begin() as connection:
        connection.execute(update(bounce_account).values(login="password", secret="sealed"))
    shared.log_in()
    with shared.engine.connect() as connection:
        rows = {row.name: (row.login, row.secret) for row in connection.execute(select(bounce_account))}
    assert rows == {"news": ("oauth2", None), "other": ("password", "sealed")}


def test_a_login_goes_with_its_account(shared: Shared) -> None:
    shared.log_in()
    with shared.engine.begin() as connection:
        connection.execute(delete(bounce_account).where(bounce_account.c.name == "news"))
    assert shared.dump() == "[]"
