"""Which login an account of the database has, by its kind; another kind is another branch here."""

from collections.abc import Callable
from typing import Final

from services.fetcher.login import Login, PasswordLogin
from shared.errors import ConfigurationError

PASSWORD: Final = "password"  # noqa: S105 (the kind of login)

LoginFactory = Callable[[str, str, str, str], Login]
"""Of an account: its name, its kind of login, its user, and its secret, opened (empty where it has none)."""


def make_login(account: str, kind: str, user: str, secret: str) -> Login:
    """Raises ConfigurationError for a kind that is not known here, and for what no mail server takes."""
    if kind == PASSWORD:
        return PasswordLogin(user, secret)
    raise ConfigurationError(f"the account {account!r} logs in by {kind!r}, which this version does not know")
