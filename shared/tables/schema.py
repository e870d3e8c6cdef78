"""Connecting to the database, bringing its schema up to date, and refusing an old one."""

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from shared.errors import ConfigurationError, Transient

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 60


class DatabaseUnreachable(Transient):
    """No database, or one that does not answer in time."""


def connect(url: str, *, must_exist: bool = False) -> Engine:
    """An engine for `sqlite:///file` or `postgresql+psycopg://…`; no connection is made yet.

    Raises ConfigurationError for another database, and, with must_exist, for an SQLite file that is not there.
    """
    parsed = read_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if must_exist and parsed.database and parsed.database != ":memory:" and not Path(parsed.database).is_file():
            raise ConfigurationError(
                f"there is no database at {Path(parsed.database).absolute()}: nothing was processed here yet. "
                "Run `mailroom process` in this folder, set MAILROOM_DATABASE_URL, or make an empty one with `mailroom migrate`"
            )
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": 60})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if backend == "postgresql":
        # The ledger's fold needs each statement to see what was committed before it. In UTC the year 1 can be read back.
        settings = (
            f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c timezone=UTC "
            "-c default_transaction_isolation=read\\ committed"
        )
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            hide_parameters=True,  # an address has no business in a log
            pool_size=4,
            # Of a database in SQL_ASCII the driver would give bytes.
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "client_encoding": "utf8",
                "options": settings,
            },
        )
    raise ConfigurationError(f"MAILROOM_DATABASE_URL names {backend!r}; supported are sqlite and postgresql")


def read_url(url: str) -> URL:
    """The URL in its parts. Raises ConfigurationError, which does not repeat it: there may be a password in it."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the database URL cannot be read; it looks like postgresql://user:password@host/name or sqlite:///file"
        ) from None


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late to lock; _begin_immediate sends it
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an ack follows a commit: it has to be on the disk
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Any) -> None:
    read_only = connection.get_execution_options().get("sqlite_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def upgrade(engine: Engine) -> tuple[str | None, str | None]:
    """Bring the schema to the newest revision: the one that it had, and the one that it has now.

    Safe to call at any time, also by two at once.

    Raises DatabaseUnreachable, also for a file that is no database or cannot be written.
    """
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('mailroom.migrate'))")
            config = _config()
            config.attributes["connection"] = connection
            before = MigrationContext.configure(connection).get_current_revision()
            command.upgrade(config, "head")
            return before, MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as exc:
        raise DatabaseUnreachable(f"the database cannot be brought up to date: {in_one_line(exc.orig)}") from exc


def in_one_line(error: object) -> str:
    """The driver's words: PostgreSQL's come in lines, with tabs."""
    return " ".join(str(error).split())


def require_current(engine: Engine) -> None:
    """Raises ConfigurationError when the schema is not the one that this version was written for."""
    try:
        with engine.execution_options(sqlite_read_only=True).connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as exc:
        raise DatabaseUnreachable(f"the database does not answer: {in_one_line(exc.orig)}") from exc
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if revision != head:
        raise ConfigurationError(
            f"the database has schema {revision or 'none'}, this version needs {head}: run `mailroom migrate`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
