"""`mailroom dead discard`: put aside for good, with a word of who and why."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from services.ledger.dead_letters_sql import DISCARDED, Choice, SqlDeadLetters
from shared.tables import connect
from shared.tables.ledger import audit
from tests.browser.content import LETTER, fill
from tests.e2e.commands.conftest import Ran


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    url = f"sqlite:///{tmp_path / 'mailroom.db'}"
    fill(url)
    return connect(url)


def test_a_letter_is_discarded_and_stays_to_be_looked_at(mailroom: Callable[..., Ran], engine: Engine) -> None:
    letters = SqlDeadLetters(engine)
    ran = mailroom("dead", "discard", "--id", LETTER[:6], "--why", "a test of ours", "--who", "jane")
    assert (ran.returncode, ran.stdout) == (0, "1 discarded\n"), ran.stderr
    assert (letters.count(Choice()), letters.count(Choice(state=DISCARDED))) == (0, 1)
    with engine.connect() as connection:
        (row,) = connection.execute(select(audit).where(audit.c.subject == LETTER)).all()
    assert (row.who, row.why) == ("jane", "a test of ours")
    assert mailroom("dead", "discard", "--all", "--why", "again").stdout == "0 discarded\n"


def test_without_a_reason_nothing_is_discarded(mailroom: Callable[..., Ran], engine: Engine) -> None:
    ran = mailroom("dead", "discard", "--all", "--why", " ")
    assert ran.returncode == 2
    assert "say why" in ran.stderr
    assert SqlDeadLetters(engine).count(Choice()) == 1
