"""People, their passwords and their sessions in the database."""

import secrets
from datetime import datetime
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from services.console.hashing import hash_secret
from services.console.people import (
    FORGOTTEN_AFTER,
    IDLE,
    LONGEST,
    Person,
    check_name,
    check_password,
    is_over,
    subjects,
    wait_after,
)
from services.console.roles import Role
from shared.errors import ConfigurationError
from shared.tables import transactions
from shared.tables.auditing import note
from shared.tables.console import guess, person, person_session
from shared.tables.transactions import now_of, transaction

_PURPOSE: Final = "session"
"""Under which a session's token is hashed."""
_HASHER: Final = PasswordHasher()
_NOBODY: Final = _HASHER.hash(secrets.token_urlsafe())
"""Looked at for unknown names, so that they take as long as known ones."""
_SEEN_EVERY: Final = IDLE / 30
"""Not every look at a page writes to the database."""


class TooManyGuesses(ConfigurationError):
    """Nothing was looked at: the next guess has to wait."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many wrong passwords: try again in {wait_s} second{'s' * (wait_s != 1)}")
        self.wait_s = wait_s


class SqlPeople:
    """Who may use the console."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Person]:
        """By name."""
        with transaction(self._engine, is_reading=True) as connection:
            return [_person(row) for row in connection.execute(select(person).order_by(person.c.name))]

    def find(self, name: str) -> Person | None:
        """The person of that name."""
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(select(person).where(person.c.name == name)).one_or_none()
        return _person(row) if row else None

    def add(self, name: str, role: Role, password: str, who: str) -> None:
        """Raises ConfigurationError for a name that is taken or no name, and for a password that is too short."""
        check_name(name)
        check_password(password)
        hashed = _HASHER.hash(password)
        with transaction(self._engine) as connection:
            added = connection.execute(
                transactions.insert(connection, person)
                .values(name=name, password_hash=hashed, role=role, is_active=True, created_at=now_of(connection))
                .on_conflict_do_nothing()
                .returning(person.c.name)
            )
            if added.first() is None:
                raise ConfigurationError(f"there is a user {name!r} already")
            note(connection, who, "user-add", name, role)

    def change(self, name: str, who: str, *, role: Role | None = None, is_active: bool | None = None) -> None:
        """Another role, or shut out; ends the sessions. Raises ConfigurationError for the last administrator, or nobody."""
        values = {key: value for key, value in (("role", role), ("is_active", is_active)) if value is not None}
        with transaction(self._engine) as connection:
            rows = connection.execute(select(person).order_by(person.c.name).with_for_update()).all()
            if name not in {row.name for row in rows}:
                raise ConfigurationError(f"there is no user {name!r}")
            left = [row.name for row in rows if row.name != name and row.is_active and row.role == Role.ADMINISTRATOR]
            if not left and (is_active is False or role not in (None, Role.ADMINISTRATOR)):
                raise ConfigurationError(f"{name!r} is the last administrator: make another one first")
            connection.execute(update(person).where(person.c.name == name).values(values))
            connection.execute(delete(person_session).where(person_session.c.name == name))
            note(connection, who, "user-change", name, ", ".join(f"{key}={value}" for key, value in values.items()))

    def set_password(self, name: str, password: str, who: str) -> None:
        """Ends all sessions of that person. Raises ConfigurationError."""
        check_password(password)
        hashed = _HASHER.hash(password)
        with transaction(self._engine) as connection:
            changed = connection.execute(update(person).where(person.c.name == name).values(password_hash=hashed))
            if not changed.rowcount:
                raise ConfigurationError(f"there is no user {name!r}")
            connection.execute(delete(person_session).where(person_session.c.name == name))
            note(connection, who, "user-password", name, "")

    def log_in(self, name: str, password: str, client: str) -> str | None:
        """A new session's token; None when name or password is wrong. Raises TooManyGuesses, and then looks at nothing.

        A guess is counted before it is looked at, so that many at once do not slip through.
        """
        counted_for = subjects(name, client)
        with transaction(self._engine) as connection:
            for subject, free in counted_for.items():
                _count_guess(connection, subject, free)
            row = connection.execute(select(person).where(person.c.name == name)).one_or_none()
        is_right = _is_right(row.password_hash if row else _NOBODY, password)
        if not is_right or row is None or not row.is_active:
            return None
        with transaction(self._engine) as connection:
            still = connection.execute(select(person).where(person.c.name == name).with_for_update()).one_or_none()
            if still is None or not still.is_active or still.password_hash != row.password_hash:
                return None
            connection.execute(delete(guess).where(guess.c.subject.in_(list(counted_for))))
            connection.execute(delete(guess).where(guess.c.failed_at < now_of(connection) - FORGOTTEN_AFTER))
            if _HASHER.check_needs_rehash(row.password_hash):
                hashed = _HASHER.hash(password)
                connection.execute(update(person).where(person.c.name == name).values(password_hash=hashed))
            return _begin_session(connection, name)

    def let_in(self, name: str) -> str | None:
        """A new session's token without a password, for who has shown otherwise to be that person; None for nobody active."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(person).where(person.c.name == name).with_for_update()).one_or_none()
            return _begin_session(connection, name) if row is not None and row.is_active else None

    def of_session(self, token: str, now: datetime) -> Person | None:
        """Whose session that is; None when it is over, unknown, or its person was shut out."""
        hashed = hash_secret(_PURPOSE, token)
        chosen = (
            select(person, person_session.c.created_at.label("began_at"), person_session.c.seen_at)
            .join(person_session, person_session.c.name == person.c.name)
            .where(person_session.c.token_hash == hashed)
        )
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(chosen).one_or_none()
        if row is None or not row.is_active or is_over(row.began_at, row.seen_at, now):
            return None
        if now - row.seen_at > _SEEN_EVERY:
            with transaction(self._engine) as connection:
                connection.execute(
                    update(person_session).where(person_session.c.token_hash == hashed).values(seen_at=now)
                )
        return _person(row)

    def log_out(self, token: str) -> None:
        """The session is over."""
        with transaction(self._engine) as connection:
            connection.execute(
                delete(person_session).where(person_session.c.token_hash == hash_secret(_PURPOSE, token))
            )


def _begin_session(connection: Connection, name: str) -> str:
    token = secrets.token_urlsafe(32)
    now = now_of(connection)
    connection.execute(delete(person_session).where(person_session.c.created_at < now - LONGEST))
    connection.execute(
        insert(person_session).values(token_hash=hash_secret(_PURPOSE, token), name=name, created_at=now, seen_at=now)
    )
    connection.execute(update(person).where(person.c.name == name).values(last_login_at=now))
    return token


def _count_guess(connection: Connection, subject: str, free: int) -> None:
    now = now_of(connection)
    connection.execute(
        transactions.insert(connection, guess)
        .values(subject=subject, failures=0, failed_at=now)
        .on_conflict_do_nothing()
    )
    row = connection.execute(select(guess).where(guess.c.subject == subject).with_for_update()).one()
    failures = 0 if now - row.failed_at > FORGOTTEN_AFTER else row.failures
    left = row.failed_at + wait_after(failures, free) - now
    if failures >= free and left.total_seconds() > 0:
        raise TooManyGuesses(int(left.total_seconds()) + 1)
    connection.execute(update(guess).where(guess.c.subject == subject).values(failures=failures + 1, failed_at=now))


def _is_right(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _person(row: Row[Any]) -> Person:
    return Person(row.name, Role(row.role), row.is_active, row.created_at, row.last_login_at)
