"""Transactions on PostgreSQL and SQLite: what they do differently, and what of their errors waiting can mend."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.tables.schema import DatabaseUnreachable


@contextmanager
def transaction(engine: Engine, *, is_reading: bool = False) -> Iterator[Connection]:
    """Commits at the end. Raises DatabaseUnreachable when the fault is the server's, and waiting may help.

    That is: away, locked, full, out of connections, read-only after a fail-over, a deadlock, a missing grant. Only what
    the data themselves cause (DataError, IntegrityError) passes as it is. One that only reads does not wait for SQLite's
    single writer.
    """
    if is_reading:
        engine = engine.execution_options(sqlite_read_only=True)
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, InternalError, ProgrammingError, PoolTimeout) as exc:
        raise DatabaseUnreachable(f"the database cannot do it now: {_cause(exc)}") from exc
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise DatabaseUnreachable(f"the database went away: {_cause(exc)}") from exc
        raise


def _cause(exc: Exception) -> str:
    origin = getattr(exc, "orig", None) or exc
    return str(origin).strip().split("\n")[0]


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def now_of(connection: Connection) -> datetime:
    """The database's clock, which all ledgers share; SQLite has this machine's."""
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def answers(engine: Engine) -> bool:
    """Whether the database is there now."""
    try:
        with transaction(engine, is_reading=True) as connection:
            connection.execute(select(1))
    except DatabaseUnreachable:
        return False
    return True
