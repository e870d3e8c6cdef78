"""Answers that a program was given, so that a request that it repeats is not done twice (Idempotency-Key)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, delete, select, update

from shared.tables import transactions
from shared.tables.console import api_reply
from shared.tables.transactions import now_of, transaction

KEPT: Final = timedelta(hours=24)
GIVEN_UP: Final = timedelta(minutes=5)
"""So long a first request may take; after it the process that worked on it is thought dead."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; no status while the first request is worked on."""

    is_same: bool
    """The request that is repeated is the one that was answered."""
    status: int | None
    body: bytes


class SqlReplies:
    """Raises DatabaseUnreachable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, token: str, key: str, request_hash: str) -> Reply | None:
        """None: this is the first request with that key, and is to be done. Else what became of the first."""
        is_it = (api_reply.c.token == token) & (api_reply.c.key == key)
        with transaction(self._engine) as connection:
            now = now_of(connection)
            connection.execute(delete(api_reply).where(api_reply.c.begun_at < now - KEPT))
            is_dead = is_it & api_reply.c.status.is_(None) & (api_reply.c.begun_at < now - GIVEN_UP)
            connection.execute(delete(api_reply).where(is_dead))
            begun = connection.execute(
                transactions.insert(connection, api_reply)
                .values(token=token, key=key, request_hash=request_hash, begun_at=now)
                .on_conflict_do_nothing()
                .returning(api_reply.c.key)
            )
            if begun.first() is not None:
                return None
            row = connection.execute(select(api_reply).where(is_it)).one()
        return Reply(row.request_hash == request_hash, row.status, row.body or b"")

    def end(self, token: str, key: str, status: int, body: bytes) -> None:
        """The answer of the first request. One that failed on our side is forgotten: it may be tried again."""
        is_it = (api_reply.c.token == token) & (api_reply.c.key == key)
        with transaction(self._engine) as connection:
            if status >= 500:
                connection.execute(delete(api_reply).where(is_it))
            else:
                connection.execute(update(api_reply).where(is_it).values(status=status, body=body))
