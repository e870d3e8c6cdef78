"""A held run counts for nothing until a person applies it, whatever comes before, beside and after the decision."""

import threading
from datetime import timedelta
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, select, update

from services.cli import main
from services.fetcher.ports import FoundMail, Listed, Place
from services.fetcher.store_sql import SqlCheckpoint
from services.ledger import store_sql
from services.ledger.handler import VerdictHandler
from services.ledger.ports import Change
from services.ledger.runs_sql import SqlRuns
from services.ledger.standings_sql import recompute
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import finish_runs
from shared.errors import ConfigurationError
from shared.local_bus import LocalBus
from shared.tables.ledger import audit, hold
from tests.integration.ledger.test_many_ledgers import waits_for_a_lock
from tests.property.ledger_model import BLANK, at, expected, outcome, standing, stored, verdict
from tests.servers.waiting import eventually

ANN, BOB = "ann@example.com", "bob@example.com"
MANY = [f"u{number:04}@example.com" for number in range(2_500)]


def settle(engine: Engine, run_id: str = "run") -> int:
    return sum(map(len, SqlRuns(engine).settle(run_id)))


@pytest.fixture
def runs(engine: Engine) -> SqlRuns:
    runs = SqlRuns(engine)
    runs.hold("run")
    return runs


def test_what_is_applied_counts(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    brought = [verdict(name, outcome(name), run_id="run") for name in MANY]
    softs = [verdict(f"s{n}", outcome(BOB, "soft", f"send {n}"), run_id="run") for n in range(5)]
    assert store.record([*brought, *softs]) == []
    assert stored(engine).addresses == {}
    assert runs.apply("run", "tester", "looked at") == "applying"
    assert settle(engine) == len(MANY) + 1
    assert stored(engine) == expected([*brought, *softs])
    assert runs.apply("run", "tester", "again") == "applied"
    assert settle(engine) == 0
    with engine.connect() as connection:
        (row,) = connection.execute(select(audit)).all()
    assert (row.who, row.what, row.subject, row.why) == ("tester", "apply run", "run", "looked at")


def test_what_is_dropped_never_counts(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    store.record([verdict("1", outcome(ANN), run_id="run")])
    assert runs.drop("run", "tester", "the wrong mailbox") == "dropped"
    store.record([verdict("2", outcome(BOB), run_id="run")])
    assert stored(engine).addresses == {}
    store.record([verdict("1", outcome(ANN), run_id="another")])
    assert (standing(engine, ANN).state, standing(engine, BOB)) == ("bounced", BLANK)


@pytest.mark.parametrize(("first", "then"), [("apply", "drop"), ("drop", "apply")])
def test_a_decision_is_final(runs: SqlRuns, first: str, then: str) -> None:
    getattr(runs, first)("run", "tester", "")
    with pytest.raises(ConfigurationError, match="that is final"):
        getattr(runs, then)("run", "tester", "")


def test_only_a_held_run_is_decided_about_and_only_a_new_one_is_held(runs: SqlRuns) -> None:
    with pytest.raises(ConfigurationError, match="there is no held run other"):
        runs.apply("other", "tester", "")
    with pytest.raises(ConfigurationError, match="run is held already"):
        runs.hold("run")
    runs.hold("second")
    runs.drop("run", "tester", "")
    assert [(one.run_id, one.state) for one in runs.held(is_waiting=True)] == [("second", "held")]
    assert {one.run_id for one in runs.held()} == {"run", "second"}


def test_an_address_that_was_delivered_otherwise_too(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    """The mail came first through a publisher; then a held run found it again."""
    told = [verdict("1", outcome(ANN)), verdict("1", outcome(ANN), run_id="run")]
    store.record(told[:1])
    before = standing(engine, ANN)
    store.record(told[1:])
    runs.apply("run", "tester", "")
    assert settle(engine) == 0
    assert standing(engine, ANN) == before


def test_a_ledger_finishes_what_was_interrupted(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    store.record([verdict(name, outcome(name), run_id="run") for name in MANY])
    runs.apply("run", "tester", "")
    next(runs.settle("run"))  # interrupted after its first page
    handler = VerdictHandler(store, None, LocalBus())
    finish_runs(engine, handler)  # whoever applied it may still be at it
    assert len(stored(engine).addresses) == 1_000
    with engine.begin() as connection:
        connection.execute(update(hold).values(decided_at=at(0)))
    finish_runs(engine, handler)
    assert len(stored(engine).addresses) == len(MANY)
    assert [one.state for one in runs.held()] == ["applied"]


def test_ledgers_that_record_the_run_while_it_is_applied(pg: Engine) -> None:
    runs, store = SqlRuns(pg), SqlVerdictStore(pg)
    runs.hold("run")
    told = [
        verdict(f"{name} {n}", outcome(name, "soft", f"{n}"), run_id="run") for n in range(5) for name in MANY[:200]
    ]
    store.record(told[:300])

    def record(share: int) -> None:
        for start in range(300 + 20 * share, len(told), 60):
            store.record(told[start : start + 20])

    threads = [threading.Thread(target=record, args=(share,)) for share in range(3)]
    for thread in threads:
        thread.start()
    runs.apply("run", "tester", "")
    settle(pg)
    for thread in threads:
        thread.join()
    assert stored(pg) == expected(told)


def test_a_mail_of_the_run_that_another_held_one_gives_another_recipient_meanwhile(
    pg: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision waits for every batch that folds a mail of the run, also when the batch does not name it."""
    runs, store = SqlRuns(pg), SqlVerdictStore(pg)
    runs.hold("run")
    runs.hold("second")
    store.record([verdict("1", outcome(ANN), run_id="run")])
    newer = verdict("1", outcome(BOB), run_id="second", classifier_version=2)
    is_folded, may_commit = threading.Event(), threading.Event()

    def fold_and_wait(*arguments: Any) -> list[Change]:
        changes = recompute(*arguments)
        is_folded.set()
        assert may_commit.wait(20)
        return changes

    monkeypatch.setattr(store_sql, "recompute", fold_and_wait)
    recording = threading.Thread(target=store.record, args=([newer],))
    recording.start()
    assert is_folded.wait(20)
    deciding = threading.Thread(target=lambda: (runs.apply("run", "tester", ""), settle(pg)))
    deciding.start()
    eventually(lambda: waits_for_a_lock(pg), "the decision to wait for the batch")
    may_commit.set()
    recording.join()
    deciding.join()
    assert stored(pg) == expected([newer, verdict("1", outcome(ANN), run_id="run")], {"second": "held"})


def test_whatever_a_person_is_called(engine: Engine, runs: SqlRuns) -> None:
    runs.apply("run", "x" * 300, "\udce9\x00")
    with engine.connect() as connection:
        assert len(connection.execute(select(audit.c.who)).scalar_one()) == 255


def test_mails_of_a_dropped_run_stay_and_are_found_again(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    checkpoint, place, mail = SqlCheckpoint(engine), Place("news", "INBOX", 7), Listed("1", 10)
    one = verdict("1", outcome(ANN), run_id="run")
    checkpoint.begin_run("run", "news", at(0))
    checkpoint.add(place, "run", [FoundMail("1", one["raw_id"], 10, False)], at(0))
    store.record([one])
    runs.drop("run", "tester", "")
    assert checkpoint.recorded("news", "INBOX") == []
    checkpoint.forget_dropped("shop")
    assert checkpoint.unknown(place, [mail]) == []
    checkpoint.forget_dropped("news")
    assert checkpoint.unknown(place, [mail]) == [mail]


def test_the_commands(engine: Engine, store: SqlVerdictStore, runs: SqlRuns) -> None:
    runner = CliRunner(env={"MAILROOM_DATABASE_URL": engine.url.render_as_string(hide_password=False)})
    store.record([verdict("1", outcome(ANN, evidence="\x1b[31mno such user"), run_id="run")])
    told = runner.invoke(main, ["runs"])
    assert (told.exit_code, "held" in told.stdout) == (0, True)
    told = runner.invoke(main, ["runs", "show", "run"])
    assert ANN in told.stdout
    assert "\x1b[31m" not in told.stdout
    told = runner.invoke(main, ["runs", "show", "run", "--json"])
    assert orjson.loads(told.stdout)["reason"] == "user-unknown"
    told = runner.invoke(main, ["runs", "apply", "run", "--who", "me"])
    assert (told.exit_code, "it names 1 addresses, and changed 1" in told.stderr) == (0, True), told.output
    assert standing(engine, ANN).state == "bounced"
    assert runner.invoke(main, ["runs", "apply", "run"]).exit_code == 0
    told = runner.invoke(main, ["runs", "drop", "run"])
    assert (told.exit_code, "final" in told.stderr) == (2, True)
    told = runner.invoke(main, ["runs", "show", "none"])
    assert (told.exit_code, told.stdout, "nothing is known" in told.stderr) == (2, "", True)
    assert runner.invoke(main, ["runs", "--waiting"]).stdout == ""
    assert runs.held()[0].held_at - runs.held()[0].decided_at < timedelta(0)  # type: ignore[operator]
