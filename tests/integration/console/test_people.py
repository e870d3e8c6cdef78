"""Who may use the console: passwords, sessions, and guesses that have to wait."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.console.people import IDLE, LONGEST
from services.console.people_sql import SqlPeople, TooManyGuesses
from services.console.roles import Role
from shared.errors import ConfigurationError
from shared.tables import connect, upgrade
from shared.tables.transactions import now_of, transaction

PASSWORD = "correct horse battery"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = connect(f"sqlite:///{tmp_path / 'mailroom.db'}")
    upgrade(made)
    return made


@pytest.fixture
def people(engine: Engine) -> SqlPeople:
    store = SqlPeople(engine)
    store.add("jane", Role.ADMINISTRATOR, PASSWORD, "tests")
    return store


def test_a_thousand_guesses_are_looked_at_twenty_times_at_most(people: SqlPeople) -> None:
    evaluated = 0
    waits = []
    for number in range(1000):
        try:
            assert people.log_in("jane", f"guess number {number}", f"203.0.113.{number % 250}") is None
            evaluated += 1
        except TooManyGuesses as exc:
            waits.append(exc.wait_s)
    assert 1 <= evaluated <= 20
    assert min(waits) >= 1


def test_one_client_that_tries_many_names_has_to_wait_too(people: SqlPeople) -> None:
    evaluated = 0
    for number in range(200):
        try:
            people.log_in(f"nobody{number}", "guess", "203.0.113.9")
            evaluated += 1
        except TooManyGuesses:
            pass
    assert 1 <= evaluated <= 20


def test_a_right_password_begins_a_session_that_ends_when_idle_or_old(engine: Engine, people: SqlPeople) -> None:
    token = people.log_in("jane", PASSWORD, "203.0.113.9")
    assert token is not None
    with transaction(engine) as connection:
        now = now_of(connection)
    found = people.of_session(token, now)
    assert found is not None
    assert found.role == Role.ADMINISTRATOR
    assert people.of_session(token, now + IDLE + timedelta(minutes=1)) is None
    at = now
    while at < now + LONGEST - IDLE:  # somebody who is there all day
        at += IDLE - timedelta(minutes=1)
        assert people.of_session(token, at) is not None
    assert people.of_session(token, now + LONGEST + timedelta(minutes=1)) is None


def test_another_password_or_role_ends_the_sessions(engine: Engine, people: SqlPeople) -> None:
    people.add("joe", Role.VIEWER, PASSWORD, "tests")
    with transaction(engine) as connection:
        now = now_of(connection)
    for change in (
        lambda: people.set_password("joe", PASSWORD, "tests"),
        lambda: people.change("joe", "tests", role=Role.OPERATOR),
        lambda: people.change("joe", "tests", is_active=False),
    ):
        token = people.log_in("joe", PASSWORD, "203.0.113.9")
        assert token is not None
        change()
        assert people.of_session(token, now) is None
    assert people.log_in("joe", PASSWORD, "203.0.113.9") is None


def test_the_last_administrator_stays(people: SqlPeople) -> None:
    with pytest.raises(ConfigurationError, match="last administrator"):
        people.change("jane", "tests", is_active=False)
    with pytest.raises(ConfigurationError, match="last administrator"):
        people.change("jane", "tests", role=Role.OPERATOR)
