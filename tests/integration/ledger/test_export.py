"""The list of suppressions out of one database and into another, alike on PostgreSQL and SQLite."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from services.ledger.export_sql import SqlExport
from services.ledger.marking import Marking, Tally, Wish
from services.ledger.marks_sql import SqlMarks
from services.ledger.policy import SUPPRESSED_BY_HAND, State
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.suppressions_csv import Listed, read_wishes, write_head, write_rows
from shared.tables import connect, upgrade
from shared.tables.ledger import address
from tests.property.ledger_model import T0, at, outcome, standing, stored, verdict

TRICKY = ["=cmd@x.org", "+tag@x.org", "-dash@x.org", "'quote@x.org", "'=both@x.org", '"a,b;\\"c"@x.org', "jürgen@x.org"]
NOT_OK = (State.BOUNCED, State.SUPPRESSED)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    """A second, empty ledger."""
    engine = connect(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


def marking(engine: Engine) -> Marking:
    return Marking(SqlMarks(engine), SqlVerdictStore(engine), None, None)


def exported(engine: Engine, *states: State) -> str:
    file = io.StringIO(newline="")
    write_head(file)
    for page in SqlExport(engine).pages(states or NOT_OK):
        write_rows(file, page)
    return file.getvalue()


def wishes(text: str) -> Iterator[Wish]:
    for row in read_wishes(io.StringIO(text, newline=""), "moved"):
        if isinstance(row, Wish):
            yield row


def fill(engine: Engine) -> None:
    store = SqlVerdictStore(engine)
    store.record([verdict(str(n), outcome(one), received_at=at(n)) for n, one in enumerate(TRICKY[:3])])
    store.record([verdict("soft", outcome("soft@x.org", "soft"))])
    SqlMarks(engine).mark("suppressed", dict.fromkeys(TRICKY[3:], "=on the phone"), "eva")


def test_what_is_listed(engine: Engine) -> None:
    fill(engine)
    listed = {row.recipient: row for page in SqlExport(engine).pages(NOT_OK) for row in page}
    assert listed.keys() == set(TRICKY)
    assert listed["+tag@x.org"] == Listed("+tag@x.org", State.BOUNCED, "user-unknown", at(1), 0, True)
    by_hand = listed["'quote@x.org"]
    assert (by_hand.state, by_hand.reason, by_hand.why, by_hand.who) == (
        State.SUPPRESSED, SUPPRESSED_BY_HAND, "=on the phone", "eva",
    )  # fmt: skip
    assert SqlExport(engine).count(NOT_OK) == len(TRICKY)


@pytest.mark.parametrize(
    ("states", "count"), [((State.OK,), 1), ((State.BOUNCED,), 3), ((State.SUPPRESSED,), 4), (tuple(State), 8)]
)
def test_some_states_only(engine: Engine, states: tuple[State, ...], count: int) -> None:
    fill(engine)
    assert exported(engine, *states).count("\n") == 1 + count
    assert SqlExport(engine).count(states) == count


def test_into_another_ledger_and_back(engine: Engine, other: Engine) -> None:
    fill(engine)
    text = exported(engine, *State)
    assert marking(other).take_over(wishes(text), "eva") == Tally(len(TRICKY))
    assert stored(other).addresses.keys() == set(TRICKY)
    assert marking(other).take_over(wishes(text), "eva") == Tally(0, len(TRICKY))
    before = stored(engine)
    assert marking(engine).take_over(wishes(text), "eva") == Tally(0, len(TRICKY))
    assert stored(engine) == before
    # Back from there, where all of it is suppressed by hand: what bounced here is now suppressed by hand, too.
    assert marking(engine).take_over(wishes(exported(other)), "eva") == Tally(3, 4)
    assert {row.state for row in stored(engine).addresses.values()} == {"suppressed", "ok"}
    assert standing(engine, "soft@x.org").soft == 1


def test_the_word_of_a_person_is_the_latest(engine: Engine) -> None:
    for why in ("one", "two", "three"):
        SqlMarks(engine).mark("suppressed", {"a@x.org": why}, "eva")
    assert ",three,eva" in exported(engine)


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000, 2500])
def test_pages(engine: Engine, count: int) -> None:
    add(engine, 0, count)
    pages = list(SqlExport(engine).pages(NOT_OK))
    assert [len(page) for page in pages] == [1000] * (count // 1000) + [count % 1000] * bool(count % 1000)
    assert len({row.recipient for page in pages for row in page}) == count


def test_what_comes_in_meanwhile_makes_nothing_twice(engine: Engine) -> None:
    add(engine, 0, 2000)
    pages = SqlExport(engine).pages(NOT_OK)
    seen = [row.recipient for row in next(pages)]
    SqlMarks(engine).mark("suppressed", {"a@x.org": "why", "zzz@x.org": "why", seen[0]: "why"}, "eva")
    seen += [row.recipient for page in pages for row in page]
    assert len(seen) == len(set(seen)) == 2001
    assert "zzz@x.org" in seen


def test_the_memory_of_a_page_is_enough_for_all(engine: Engine) -> None:
    def peak() -> int:
        tracemalloc.start()
        for page in SqlExport(engine).pages(NOT_OK):
            assert page
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    add(engine, 0, 2_000)
    peak()
    few = peak()
    add(engine, 2_000, 40_000)
    assert peak() < 2 * few


def add(engine: Engine, start: int, count: int) -> None:
    """Bounced addresses, as a large list has them."""
    row = {"state": "bounced", "soft": 0, "hard": True, "reason": "user-unknown", "since": T0, "changed_at": T0}
    with engine.begin() as connection:
        for first in range(start, start + count, 5_000):
            several = range(first, min(first + 5_000, start + count))
            connection.execute(
                insert(address),
                [{**row, "recipient": f"u{n:06}@x.org", "event_id": "e", "version": n + 1} for n in several],
            )
