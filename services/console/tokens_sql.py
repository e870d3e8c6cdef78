"""API tokens in the database."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row, select, update

from services.console.hashing import hash_secret
from services.console.people import check_name
from services.console.tokens import PURPOSE, ApiToken, Scope, new_token
from shared.errors import ConfigurationError
from shared.tables import transactions
from shared.tables.auditing import note
from shared.tables.console import api_token
from shared.tables.transactions import now_of, transaction

_USED_EVERY: Final = timedelta(minutes=1)
"""Not every request writes to the database."""


class SqlApiTokens:
    """Raises DatabaseUnreachable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[ApiToken]:
        """By name, those that were revoked too."""
        with transaction(self._engine, is_reading=True) as connection:
            return [_token(row) for row in connection.execute(select(api_token).order_by(api_token.c.name))]

    def make(self, name: str, scopes: Collection[Scope], who: str) -> str:
        """What the program is to send. Raises ConfigurationError for a name that is taken or none, and without a scope."""
        check_name(name)
        if not scopes:
            raise ConfigurationError("a token without a scope opens nothing: choose at least one")
        token = new_token()
        words = " ".join(sorted(scopes))
        with transaction(self._engine) as connection:
            made = connection.execute(
                transactions.insert(connection, api_token)
                .values(
                    name=name,
                    token_hash=hash_secret(PURPOSE, token),
                    scopes=words,
                    made_by=who,
                    made_at=now_of(connection),
                )
                .on_conflict_do_nothing()
                .returning(api_token.c.name)
            )
            if made.first() is None:
                raise ConfigurationError(f"there is, or was, a token {name!r} already: choose another name")
            note(connection, who, "token-make", name, words)
        return token

    def revoke(self, name: str, who: str) -> None:
        """At once and for good. Raises ConfigurationError when there is none, or it was revoked before."""
        with transaction(self._engine) as connection:
            is_there = (api_token.c.name == name) & api_token.c.revoked_at.is_(None)
            done = connection.execute(update(api_token).where(is_there).values(revoked_at=now_of(connection)))
            if not done.rowcount:
                raise ConfigurationError(f"there is no token {name!r} that could be revoked")
            note(connection, who, "token-revoke", name, "")

    def find(self, token: str) -> ApiToken | None:
        """Whose it is; None for one that is unknown or was revoked."""
        hashed = hash_secret(PURPOSE, token)
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(select(api_token).where(api_token.c.token_hash == hashed)).one_or_none()
        if row is None or row.revoked_at is not None:
            return None
        now = datetime.now(UTC)
        if row.used_at is None or now - row.used_at > _USED_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(update(api_token).where(api_token.c.token_hash == hashed).values(used_at=now))
        return _token(row)


def _token(row: Row[Any]) -> ApiToken:
    scopes = frozenset(Scope(word) for word in row.scopes.split())
    return ApiToken(row.name, scopes, row.made_by, row.made_at, row.used_at, row.revoked_at)
