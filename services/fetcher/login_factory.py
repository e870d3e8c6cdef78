"""Which login an account of the database has, by its kind; another kind is another branch here."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from services.fetcher.login import Login, PasswordLogin, TokenLogin
from services.fetcher.tokens import StoredTokens
from services.fetcher.tokens_sql import OAUTH2, SqlTokens
from shared.errors import ConfigurationError
from shared.secrets import SecretBox

PASSWORD: Final = "password"  # noqa: S105 (the kind of login)

LoginFactory = Callable[[str, str, str, str, str], Login]
"""Of an account: its name, its kind of login, its user, its secret, opened (empty where it has none), and what that is for."""


def make_login(account: str, kind: str, user: str, secret: str, purpose: str) -> Login:
    """By password. Raises ConfigurationError for a kind that is not known here, and for what no mail server takes."""
    if kind == PASSWORD:
        return PasswordLogin(user, secret)
    raise ConfigurationError(f"the account {account!r} logs in by {kind!r}, which this version does not know")


def with_tokens(engine: Engine, open_box: Callable[[], SecretBox]) -> LoginFactory:
    """By password, or with the tokens that stand in the database."""

    def make(account: str, kind: str, user: str, secret: str, purpose: str) -> Login:
        if kind == OAUTH2:
            return TokenLogin(user, account, StoredTokens(SqlTokens(engine, open_box(), purpose)))
        return make_login(account, kind, user, secret, purpose)

    return make
