"""Verdicts become reports, addresses and an outbox, alike on PostgreSQL and SQLite."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from services.ledger.ports import RELEASED, SUPPRESSED
from services.ledger.store_sql import TRANSACTION_OUTCOMES, SqlVerdictStore
from shared.suppressions import Suppressions
from shared.tables.ledger import address, hold, outbox, policy, raw, raw_run, report
from tests.property.ledger_model import (
    BLANK,
    FAR_FUTURE,
    Word,
    at,
    expected,
    name,
    outcome,
    plant,
    standing,
    stored,
    verdict,
)

ANN = "ann@example.com"


def soft(number: int, recipient: str = ANN) -> object:
    return verdict(f"soft {number}", outcome(recipient, "soft", f"send {number}"), received_at=at(number))


class TestCounting:
    def test_a_hard_bounce_suppresses_at_once(self, store: SqlVerdictStore, engine: Engine) -> None:
        (change,) = store.record([verdict("1", outcome(ANN))])
        assert (change.recipient, change.event, change.standing.state) == (ANN, SUPPRESSED, "bounced")
        assert Suppressions(engine).are_suppressed([ANN, "bob@example.com"]) == [True, False]

    def test_the_fifth_soft_bounce_does_and_the_fourth_does_not(self, store: SqlVerdictStore, engine: Engine) -> None:
        for number in range(1, 5):
            store.record([soft(number)])
        assert standing(engine, ANN)[:3] == ("ok", 4, False)
        (change,) = store.record([soft(5)])
        assert change.event == SUPPRESSED
        assert standing(engine, ANN) == ("bounced", 5, False, "mailbox-full", at(5), name(f"send 5 to {ANN}"))

    def test_five_reports_of_one_send_are_one(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict(str(n), outcome(ANN, "soft", "send")) for n in range(5)])
        assert standing(engine, ANN).soft == 1

    def test_the_same_again_changes_no_version(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([soft(1)])
        before = rows(engine, address)
        assert store.record([soft(1), soft(1)]) == []
        assert rows(engine, address) == before
        assert len(rows(engine, outbox)) == 1

    def test_an_empty_batch(self, store: SqlVerdictStore) -> None:
        assert store.record([]) == []

    def test_a_mail_that_is_no_bounce_has_a_row(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", kind="not-bounce", verdict="ignore")])
        assert stored(engine).mails == {name("mail 1"): (at(0), "not-bounce", "ignore", 1)}

    def test_an_outcome_that_names_nobody_counts_for_no_address(self, store: SqlVerdictStore, engine: Engine) -> None:
        assert store.record([verdict("1", outcome(None))]) == []
        assert list(stored(engine).reports) == [(name("mail 1"), "")]
        assert stored(engine).addresses == {}

    def test_what_it_is_given_stays_as_it_is(self, store: SqlVerdictStore) -> None:
        given = verdict("1", outcome(ANN, evidence="a\0b"), received_at=FAR_FUTURE)
        store.record([given])
        assert given == verdict("1", outcome(ANN, evidence="a\0b"), received_at=FAR_FUTURE)

    def test_the_policy_in_force_is_read_with_every_batch(self, store: SqlVerdictStore, engine: Engine) -> None:
        with engine.begin() as connection:
            row = {"version": 2, "soft_limit": 2, "complaint_suppresses": True, "made_at": at(0)}
            connection.execute(insert(policy).values(row))
        store.record([soft(1), soft(2), verdict("c", outcome("bob@example.com", "complaint"))])
        assert standing(engine, ANN).state == "bounced"
        assert standing(engine, "bob@example.com")[:4] == ("suppressed", 0, False, "complaint")


class TestReplacing:
    def test_a_newer_classifier_takes_a_hard_back(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", outcome(ANN))])
        (change,) = store.record([verdict("1", outcome(ANN, "soft"), classifier_version=2)])
        assert change.event == RELEASED
        assert standing(engine, ANN)[:2] == ("ok", 1)

    def test_an_older_classifier_changes_nothing_but_the_time(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", outcome(ANN), received_at=at(9), classifier_version=2)])
        store.record([verdict("1", outcome("bob@example.com"), received_at=at(1), judged_at=at(99))])
        assert list(stored(engine).addresses) == [ANN]
        assert standing(engine, ANN).since == at(1)
        assert stored(engine).mails[name("mail 1")] == (at(1), "bounce", "hard", 2)

    def test_a_newer_classifier_names_another_recipient(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", outcome(ANN), received_at=at(1))])
        changes = store.record([verdict("1", outcome("bob@example.com"), received_at=at(5), classifier_version=2)])
        assert {(one.recipient, one.event) for one in changes} == {(ANN, RELEASED), ("bob@example.com", SUPPRESSED)}
        assert stored(engine).addresses.keys() == {"bob@example.com"}
        assert standing(engine, "bob@example.com").since == at(1)

    def test_a_newer_classifier_finds_no_bounce_at_all(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", outcome(ANN), outcome("bob@example.com"))])
        store.record([verdict("1", kind="not-bounce", verdict="ignore", judged_at=at(1))])
        assert stored(engine).addresses == {}
        assert stored(engine).reports == {}


class TestHolds:
    def test_a_held_run_counts_once_another_delivers_the_mail(self, store: SqlVerdictStore, engine: Engine) -> None:
        plant(engine, {"held": "held"})
        assert store.record([verdict("1", outcome(ANN), run_id="held")]) == []
        assert len(stored(engine).reports) == 1
        (change,) = store.record([verdict("1", outcome(ANN), run_id="free")])
        assert change.event == SUPPRESSED
        assert [row.run_id for row in (*rows(engine, raw), *rows(engine, raw_run))] == ["held", "free"]

    @pytest.mark.parametrize(("state", "counts"), [("held", False), ("dropped", False), ("applied", True)])
    def test_a_verdict_that_comes_after_the_decision(
        self, store: SqlVerdictStore, engine: Engine, state: str, counts: bool
    ) -> None:
        plant(engine, {"run": state})
        store.record([verdict("1", outcome(ANN), run_id="run")])
        assert (standing(engine, ANN) != BLANK) is counts

    def test_the_next_batch_of_an_address_counts_what_was_applied(self, store: SqlVerdictStore, engine: Engine) -> None:
        plant(engine, {"run": "held"})
        store.record([verdict("1", outcome(ANN, "soft", "one"), run_id="run")])
        with engine.begin() as connection:
            connection.execute(update(hold).values(state="applied"))
        store.record([verdict("2", outcome(ANN, "soft", "two"))])
        assert standing(engine, ANN).soft == 2


class TestMarks:
    def test_a_replayed_old_report_does_not_suppress_a_released_address(
        self, store: SqlVerdictStore, engine: Engine
    ) -> None:
        store.record([verdict("1", outcome(ANN, event="old"), received_at=at(0))])
        plant(engine, words=[Word(ANN, at(10), "released")])
        (change,) = store.record([verdict("late", outcome(ANN, event="other"), received_at=at(9))])
        assert (change.event, change.standing.state) == (RELEASED, "ok")
        assert store.record([verdict("1", outcome(ANN, event="old"), received_at=at(0))]) == []
        (change,) = store.record([verdict("new", outcome(ANN, event="new"), received_at=at(11))])
        assert (change.event, change.standing.since) == (SUPPRESSED, at(11))

    def test_suppressed_by_hand_stays_whatever_is_reported(self, store: SqlVerdictStore, engine: Engine) -> None:
        plant(engine, words=[Word(ANN, at(1), "released"), Word(ANN, at(2), "suppressed")])
        store.record([verdict("1", outcome(ANN), received_at=at(5))])
        assert standing(engine, ANN) == ("suppressed", 0, True, "suppressed-by-hand", at(2), None)


class TestHostileVerdicts:
    """A text that a server cannot store would stop the queue or cost a bounce; times may be anything."""

    def test_nul_in_every_text(self, store: SqlVerdictStore, engine: Engine) -> None:
        texts = dict.fromkeys(
            ("diagnostic_code", "evidence", "rule", "remote_mta", "status", "final_recipient"), "a\0b"
        )
        store.record([verdict("1", outcome(ANN, **texts), campaign="c\0", reporting_mta="\0", account="\0")])
        assert rows(engine, report)[0].evidence == "a\ufffdb"
        assert standing(engine, ANN).state == "bounced"

    def test_a_reason_longer_than_its_column(self, store: SqlVerdictStore, engine: Engine) -> None:
        store.record([verdict("1", outcome(ANN, reason="long-" * 100 + "reason"))])
        assert standing(engine, ANN).reason == ("long-" * 100)[:64]

    @pytest.mark.parametrize(
        ("received_at", "kept"),
        [
            (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))), datetime(1970, 1, 1, tzinfo=UTC)),
            (datetime(1970, 1, 2, tzinfo=timezone(timedelta(hours=-5))), datetime(1970, 1, 2, 5, tzinfo=UTC)),
            (datetime(2026, 2, 1, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=9))), None),
        ],
    )
    def test_times(self, store: SqlVerdictStore, engine: Engine, received_at: datetime, kept: datetime | None) -> None:
        store.record([verdict("1", outcome(ANN), received_at=received_at, judged_at=received_at)])
        assert standing(engine, ANN).since == (kept or received_at)

    @pytest.mark.parametrize("received_at", [FAR_FUTURE, datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-23)))])
    def test_a_time_to_come_is_now(self, store: SqlVerdictStore, engine: Engine, received_at: datetime) -> None:
        before = datetime.now(UTC) - timedelta(minutes=1)
        store.record([verdict("1", outcome(ANN), received_at=received_at)])
        since = standing(engine, ANN).since
        assert since is not None
        assert before < since < before + timedelta(minutes=2)
        later = store.record([verdict("1", outcome(ANN), received_at=received_at)])
        assert later == []

    def test_quotes_percents_and_backslashes(self, store: SqlVerdictStore, engine: Engine) -> None:
        odd = '"a\\"b%s\\\\{,}\'; --"@example.com'
        store.record([verdict("1", outcome(odd, evidence='%(x)s {"a":null} \\ \u2028 \U0001f600'))])
        assert standing(engine, odd).state == "bounced"
        assert rows(engine, report)[0].evidence == '%(x)s {"a":null} \\ \u2028 \U0001f600'

    def test_more_than_a_statement_has_parameters(self, store: SqlVerdictStore, engine: Engine) -> None:
        many = [
            verdict(str(n), *(outcome(f"u{n}-{m}@example.com", event=str(n)) for m in range(1000))) for n in range(5)
        ]
        many += [verdict(f"empty {n}", kind="not-bounce", verdict="ignore") for n in range(3 * TRANSACTION_OUTCOMES)]
        assert len(store.record(many)) == 5000
        assert count(engine, raw) == len(many)
        taken_back = [{**one, "outcomes": [], "classifier_version": 2} for one in many]
        assert {change.event for change in store.record(taken_back)} == {RELEASED}
        assert stored(engine).addresses == {}

    def test_an_event_id_that_returns_with_another_address(self, store: SqlVerdictStore, engine: Engine) -> None:
        same = name("one send")
        store.record(
            [verdict("1", outcome(ANN, event_id=same)), verdict("2", outcome("bob@example.com", event_id=same))]
        )
        assert stored(engine).addresses.keys() == {ANN, "bob@example.com"}


class TestOutbox:
    def test_every_version_of_several_transactions_is_remembered_and_forgotten(
        self, store: SqlVerdictStore, engine: Engine
    ) -> None:
        first = verdict("1", outcome(ANN))
        filler = [verdict(f"f{n}", *(outcome(f"f{n}-{m}@x.org") for m in range(1000))) for n in range(2)]
        changes = store.record([first, *filler, {**first, "outcomes": [], "classifier_version": 2}])
        assert [change.event for change in changes if change.recipient == ANN] == [SUPPRESSED, RELEASED]
        store.clear_outbox(changes)
        assert rows(engine, outbox) == []

    def test_forgetting_leaves_older_and_newer_versions(self, store: SqlVerdictStore, engine: Engine) -> None:
        changes = [change for number in range(1, 4) for change in store.record([soft(number)])]
        store.clear_outbox(changes[1:2])
        assert [row.version for row in rows(engine, outbox)] == [changes[0].version, changes[2].version]

    def test_versions_rise(self, store: SqlVerdictStore) -> None:
        versions = [change.version for number in range(1, 6) for change in store.record([soft(number)])]
        assert versions == sorted(set(versions))


def test_a_long_history_equals_the_model(store: SqlVerdictStore, engine: Engine) -> None:
    history = [
        verdict(
            f"{n}",
            outcome(f"u{n % 7}@example.com", ("soft", "hard", "soft", "soft", "complaint")[n % 5], f"send {n // 11}"),
            received_at=at(n * 7 % 50),
        )
        for n in range(300)
    ]
    for start in range(0, len(history), 37):
        store.record(history[start : start + 37])
    assert stored(engine) == expected(history)


def rows(engine: Engine, table: object) -> list:  # type: ignore[type-arg]
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key)))  # type: ignore[attr-defined]


def count(engine: Engine, table: object) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def test_the_session_is_in_utc_and_read_committed(pg: Engine) -> None:
    with pg.connect() as connection:
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
        assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "read committed"
