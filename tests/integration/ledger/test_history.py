"""The history of an address, alike on PostgreSQL and SQLite."""

from collections.abc import Sequence
from datetime import datetime

import orjson
import pytest
from sqlalchemy import Engine, event, insert, select

from services.ledger.history import AuditEntry, EventEntry, Evidence, History, MarkEntry
from services.ledger.history_sql import NEWEST, REPORTS_OF_EVENT, SqlHistory
from services.ledger.marks_sql import SqlMarks
from services.ledger.store_sql import SqlVerdictStore
from shared.tables.ledger import address, audit, mark, policy, raw, report
from tests.property.ledger_model import FAR_FUTURE, T0, at, name, outcome, plant, standing, verdict

ANN = "ann@example.com"
BOB = "bob@example.com"


@pytest.fixture
def history(engine: Engine) -> SqlHistory:
    return SqlHistory(engine)


def events(found: History) -> list[EventEntry]:
    return [entry for entry in found.entries if isinstance(entry, EventEntry)]


def times(entries: Sequence[Evidence]) -> list[datetime]:
    return [one.received_at for one in entries]


def test_an_address_that_nobody_ever_met(history: SqlHistory) -> None:
    found = history.read(ANN)
    assert (found.is_known, found.standing.state, found.soft_limit, found.version) == (False, "ok", 5, 0)
    assert found.entries == ()


def test_every_field_of_the_evidence(store: SqlVerdictStore, history: SqlHistory) -> None:
    said = {
        "final_recipient": "rfc822; ann@inner.example",
        "fault": "recipient",
        "status": "5.1.1",
        "reply_code": "550",
        "diagnostic_code": "550 5.1.1 no such user",
        "remote_mta": "mx.example.com",
        "rule": "user-unknown",
        "evidence": "no such user",
    }
    mail = {
        "list_id": "weekly",
        "account": "bounces",
        "campaign": "spring",
        "publisher_id": "p-1",
        "reporting_mta": "mail.example.org",
        "run_id": "run-1",
    }
    store.record([verdict("1", outcome(ANN, **said), received_at=at(1), classifier_version=7, **mail)])
    found = history.read(ANN)
    (entry,) = events(found)
    assert (entry.at, entry.severity, entry.reason, entry.event_id) == (
        at(1), "hard", "user-unknown", name(f"send to {ANN}"),
    )  # fmt: skip
    assert (entry.counts, entry.why_not, entry.decided, entry.reports_total) == (True, None, True, 1)
    (one,) = entry.reports
    assert (one.raw_id, one.received_at, one.verdict, one.action, one.words) == (
        name("mail 1"), at(1), "hard", "failed", "no such user",
    )  # fmt: skip
    for field, value in {**said, **mail}.items():
        if field not in ("run_id", "evidence"):
            assert getattr(one, field) == value
    assert one.classifier_version == 7
    assert [(way.run_id, way.hold) for way in one.delivered] == [("run-1", None)]
    assert found.version > 0
    assert found.changed_at is not None
    assert orjson.loads(orjson.dumps(found.entries))[0]["type"] == "event"


def test_in_order_of_time_with_what_people_said(engine: Engine, store: SqlVerdictStore, history: SqlHistory) -> None:
    store.record([verdict("1", outcome(ANN, "soft", "one"), received_at=at(1)), verdict("0", outcome(ANN, event="0"))])
    marks = SqlMarks(engine)
    marks.mark("released", {ANN: "she is back", BOB: "no matter"}, "eva")
    store.record([verdict("2", outcome(ANN, "hard", "two"), received_at=FAR_FUTURE)])
    marks.mark("suppressed", {ANN: "on the phone"}, "tim")
    found = history.read(ANN)
    told = [(type(entry), getattr(entry, "why", None) or getattr(entry, "reason", None)) for entry in found.entries]
    assert told[:2] == [(EventEntry, "user-unknown"), (EventEntry, "mailbox-full")]
    assert set(told[2:4]) == {(MarkEntry, "she is back"), (AuditEntry, "she is back")}
    assert told[4] == (EventEntry, "user-unknown")
    assert set(told[5:]) == {(MarkEntry, "on the phone"), (AuditEntry, "on the phone")}
    assert [entry.counts for entry in events(found)] == [False, False, True]
    assert "released before" in (events(found)[0].why_not or "")
    assert [entry.decided for entry in events(found)] == [False] * 3  # a person did
    assert (found.events_total, found.marks_total, found.audits_total) == (3, 2, 2)
    assert sum(entry.counts and entry.severity == "hard" for entry in events(found)) == standing(engine, ANN).hard


def test_why_the_rest_does_not_count(engine: Engine, store: SqlVerdictStore, history: SqlHistory) -> None:
    plant(engine, {"held": "held", "dropped": "dropped", "applied": "applied"})
    store.record(
        [
            verdict("1", outcome(ANN, event="1"), received_at=at(1), run_id="held"),
            verdict("2", outcome(ANN, event="2"), received_at=at(2), run_id="dropped"),
            verdict("3", outcome(ANN, "soft", event="3"), received_at=at(3), run_id="applied"),
            verdict("4", outcome(ANN, "soft", event="4", action="delayed"), received_at=at(4)),
            verdict("5", outcome(ANN, "complaint", event="3"), received_at=at(5)),
            verdict("6", outcome(ANN, "unidentified", event="6"), received_at=at(6)),
            verdict("7", outcome(BOB, event="7"), received_at=at(7)),
        ]
    )
    found = events(history.read(ANN))
    assert [(one.why_not or "counts").split(":")[0] for one in found] == [
        "held for review", "dropped", "counts", "delayed", "a complaint", "unidentified",
    ]  # fmt: skip
    assert [one.counts for one in found].count(True) == standing(engine, ANN).soft == 1
    assert [way.hold for one in found[:3] for way in one.reports[0].delivered] == ["held", "dropped", "applied"]


def test_every_way_in_which_a_mail_came(engine: Engine, store: SqlVerdictStore, history: SqlHistory) -> None:
    plant(engine, {"held": "held"})
    for run_id in ("held", None, "later", "held"):
        store.record([verdict("1", outcome(ANN), run_id=run_id)])
    (entry,) = events(history.read(ANN))
    ways = [(way.run_id, way.hold, way.counts) for way in entry.reports[0].delivered]
    assert ways == [("held", "held", False), (None, None, True), ("later", None, True)]
    assert (entry.counts, entry.decided) == (True, True)


def test_one_event_of_many_reports(store: SqlVerdictStore, history: SqlHistory) -> None:
    store.record([verdict(str(n), outcome(ANN, ("hard", "soft")[n > 0], "send"), received_at=at(n)) for n in range(50)])
    (bounded,) = events(history.read(ANN))
    assert (bounded.severity, bounded.at, bounded.reports_total) == ("hard", at(0), 50)
    # The one that says why, and the newest.
    assert times(bounded.reports) == [at(0), *(at(n) for n in range(50 - REPORTS_OF_EVENT + 1, 50))]
    (whole,) = events(history.read(ANN, newest=None))
    assert times(whole.reports) == [at(n) for n in range(50)]


def test_ten_thousand_events_are_bounded(engine: Engine, store: SqlVerdictStore, history: SqlHistory) -> None:
    count = 10_000
    store.record([verdict(str(n), outcome(ANN, "soft", str(n)), received_at=at(n)) for n in range(count)])
    with engine.begin() as connection:
        said = [{"made_at": at(n), "who": "eva", "why": str(n)} for n in range(NEWEST + 5)]
        connection.execute(insert(mark), [{**one, "recipient": ANN, "state": "suppressed"} for one in said])
        connection.execute(insert(audit), [{**one, "subject": ANN, "what": "suppress"} for one in said])
    sizes: list[int] = []
    event.listen(engine, "before_cursor_execute", lambda *sent: sizes.append(len(sent[3] or ())))
    found = history.read(ANN)
    assert max(sizes) < NEWEST + 10  # evidence is read of those only that are shown
    assert [entry.at for entry in events(found)] == [at(n) for n in range(count - NEWEST, count)]
    assert (found.events_total, found.marks_total, found.audits_total) == (count, NEWEST + 5, NEWEST + 5)
    said_last = [entry.why for entry in found.entries if isinstance(entry, MarkEntry)]
    assert said_last == [str(n) for n in range(5, NEWEST + 5)]
    assert len(history.read(ANN, newest=None).entries) == count + 2 * (NEWEST + 5)


def test_looking_waits_for_nobody(pg: Engine) -> None:
    SqlVerdictStore(pg).record([verdict("1", outcome(ANN))])
    event.listen(pg, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'"))
    with pg.connect() as busy:
        for table in (address, policy, raw, report):
            busy.execute(select(table).with_for_update())
        assert SqlHistory(pg).read(ANN).standing.state == "bounced"


def test_nothing_of_others(engine: Engine, store: SqlVerdictStore, history: SqlHistory) -> None:
    store.record([verdict("1", outcome(ANN, diagnostic_code="ann's"), outcome(BOB, diagnostic_code="bob's"))])
    SqlMarks(engine).mark("suppressed", {BOB: "bob's"}, "eva")
    found = history.read(ANN)
    assert b"bob's" not in orjson.dumps(found.entries)
    assert found.events_total == 1
    assert found.entries[0].at == T0
