"""The checkpoint, alike on PostgreSQL and SQLite."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update

from services.fetcher.emptying import Judged
from services.fetcher.ports import FoundMail, Listed, Place, RecordedMail
from services.fetcher.store_sql import SqlCheckpoint
from shared.tables import connect, upgrade
from shared.tables.fetcher import found, run
from shared.tables.ledger import dead_letter, hold
from shared.tables.schema import DatabaseUnreachable
from tests.integration.fetcher.ledger import LONG_AGO, Ledger

PLACE = Place("news", "INBOX", 7)
IDS = [f"{number:064x}" for number in range(5_000)]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = f"sqlite:///{tmp_path}/mailroom.db"
    engine = connect(sqlite if request.param == "sqlite" else request.getfixturevalue("database_url"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlCheckpoint:
    return SqlCheckpoint(engine)


def add(store: SqlCheckpoint, *numbers: int, place: Place = PLACE, run_id: str = "run-1") -> None:
    store.add(place, run_id, [FoundMail(str(number), IDS[number], 100, False) for number in numbers], LONG_AGO)


def listed(*numbers: int) -> list[Listed]:
    return [Listed(str(number), 100) for number in numbers]


def test_known_mails(store: SqlCheckpoint) -> None:
    add(store, *range(0, 5_000, 2))
    assert store.unknown(PLACE, listed(*range(5_000))) == listed(*range(1, 5_000, 2))
    assert store.unknown(Place("news", "INBOX", 8), listed(2)) == listed(2)
    assert store.unknown(Place("news", "Other", 7), listed(2)) == listed(2)
    assert store.unknown(Place("shop", "INBOX", 7), listed(2)) == listed(2)


def test_a_mail_that_two_fetchers_add_belongs_to_the_first(store: SqlCheckpoint, engine: Engine) -> None:
    add(store, 1)
    add(store, 1, 2, run_id="run-2")
    with engine.begin() as connection:
        rows = connection.execute(select(found.c.uid, found.c.run_id).order_by(found.c.uid)).all()
    assert [tuple(row) for row in rows] == [("1", "run-1"), ("2", "run-2")]


def test_three_failures_are_remembered_and_a_success_ends_them(store: SqlCheckpoint) -> None:
    mail = Listed("1", 100)
    runs = ["run-1", "run-1", "run-2"]
    tries = [store.count_failure(PLACE, run_id, mail, "\x00 broken", LONG_AGO) for run_id in runs]
    assert store.unknown(PLACE, [mail]) == [mail]
    tries.append(store.count_failure(PLACE, "run-3", mail, "broken", LONG_AGO))
    assert tries == [1, 1, 2, 3], "a run is one try"
    assert store.unknown(PLACE, [mail]) == []
    assert store.waiting("run-3") == 0, "it waits for nobody"
    add(store, 1)
    assert store.waiting("run-1") == 1


def test_rows_that_name_nothing_any_more(store: SqlCheckpoint) -> None:
    add(store, *range(3_000))
    store.add(PLACE, "run-1", [FoundMail(f"={IDS[3_000]}", IDS[3_000], 1, False)], LONG_AGO)
    store.add(PLACE, "run-0", [FoundMail(f"={IDS[3_001]}", IDS[3_001], 1, False)], LONG_AGO)
    store.forget_unlisted(PLACE, {"1", "2"}, "run-1")
    assert store.unknown(PLACE, listed(*range(3_000))) == listed(0, *range(3, 3_000))
    assert store.published_by("run-1", IDS[:3_002]) == {IDS[1], IDS[2], IDS[3_000]}
    assert store.published_by("run-0", IDS[3_000:3_002]) == set()
    assert store.forget_other_uidvalidities(PLACE) == 0
    assert store.forget_other_uidvalidities(Place("news", "INBOX", 8)) == 3


def test_what_is_recorded(store: SqlCheckpoint, engine: Engine) -> None:
    ledger = Ledger(engine)
    add(store, 1, 2, 3)
    add(store, 4, run_id="held")
    ledger.record([IDS[1]], "bounce", "hard")
    ledger.record([IDS[2]], "not-bounce", "ignore", truncated=True)
    ledger.record([IDS[4]], "bounce", "soft", run_id="held")
    ledger.hold("held")
    assert store.recorded("news", "INBOX") == [
        RecordedMail(7, "1", Judged("bounce", "hard", False)),
        RecordedMail(7, "2", Judged("not-bounce", "ignore", True)),
    ]
    assert set(store.judged(IDS)) == {IDS[1], IDS[2]}
    store.mark_cleaned(PLACE, ["1"], LONG_AGO)
    assert [mail.uid for mail in store.recorded("news", "INBOX")] == ["2"]
    with engine.begin() as connection:
        connection.execute(update(hold).values(state="applied"))
    assert [mail.uid for mail in store.recorded("news", "INBOX")] == ["2", "4"]
    assert set(store.judged(IDS)) == {IDS[1], IDS[2], IDS[4]}


def test_waiting(store: SqlCheckpoint, engine: Engine) -> None:
    add(store, 1, 2, 3, 4)
    add(store, 5, run_id="run-2")
    Ledger(engine).record([IDS[1]], "bounce", "hard")
    with engine.begin() as connection:
        for number, state in ((2, "dead"), (3, "replayed")):
            letter = {
                "letter_id": str(number),
                "queue": "classifier.raw",
                "reason": "x",
                "state": state,
                "attempts": 1,
                "first_failed_at": LONG_AGO,
                "last_failed_at": LONG_AGO,
                "raw_id": IDS[number],
                "content_type": "message/rfc822",
                "type": "",
                "headers": "{}",
                "body": b"",
            }
            connection.execute(insert(dead_letter).values(letter))
    assert store.waiting("run-1") == 2, "the one that was replayed, and the one that nobody has seen"
    assert store.waiting("run-2") == 1
    assert store.waiting("none") == 0


def test_a_run(store: SqlCheckpoint, engine: Engine) -> None:
    store.begin_run("run-1", "news", LONG_AGO)
    store.note_error("run-1", "it broke" + "!" * 2_000)
    later = LONG_AGO + timedelta(hours=1)
    store.mark_fetched("run-1", later)
    store.begin_run("run-1", "news", later)
    store.mark_finished("run-1", later)
    with engine.begin() as connection:
        row = connection.execute(select(run)).one()
    assert (row.account, row.started_at, row.fetched_at, row.finished_at) == ("news", LONG_AGO, later, later)
    assert row.last_error is None


def test_a_lease(store: SqlCheckpoint) -> None:
    soon, later = LONG_AGO + timedelta(minutes=1), LONG_AGO + timedelta(minutes=2)
    assert store.take_lease("news", "a", LONG_AGO, soon) is None
    assert store.take_lease("shop", "b", LONG_AGO, soon) is None, "another mailbox"
    assert store.take_lease("news", "b", LONG_AGO, soon) == soon
    assert store.take_lease("news", "a", LONG_AGO, later) is None, "renewed"
    assert store.take_lease("news", "b", soon, later) == later
    assert store.take_lease("news", "b", later, later + timedelta(minutes=1)) is None, "it ran out"
    store.release_lease("news", "a")
    assert store.take_lease("news", "a", later, later) is not None, "not a's to give back"
    store.release_lease("news", "b")
    assert store.take_lease("news", "a", later, later) is None


def test_a_database_that_is_away() -> None:
    away = SqlCheckpoint(connect("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    with pytest.raises(DatabaseUnreachable):
        away.waiting("run-1")
    assert not away.answers()
