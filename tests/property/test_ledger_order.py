"""Duplicates, order and grouping of verdicts leave no trace in what the ledger comes to."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from services.ledger.runs_sql import SqlRuns
from services.ledger.standings_sql import lock_addresses, read_policy, recompute
from services.ledger.store_sql import SqlVerdictStore
from shared.contract import Outcome, VerdictMessage
from shared.tables import connect, upgrade
from shared.tables.ledger import address, audit, hold, mark, outbox, raw, raw_run, report
from shared.tables.transactions import transaction
from tests.property.ledger_model import (
    BLANK,
    FAR_FUTURE,
    Row,
    State,
    Word,
    at,
    expected,
    name,
    outcome,
    plant,
    stored,
    verdict,
)

RECIPIENTS = ("ann@example.com", "bob@example.com", "cleo@example.com", None)
RUNS = (None, "run-1", "run-2", "run-3")
EXAMPLES = int(os.environ.get("MAILROOM_TEST_EXAMPLES", "200"))
"""10,000 of them once a release: docs/evidence.md."""

CLASSES = (("hard", "failed"), ("soft", "failed"), ("soft", "delayed"), ("unidentified", None), ("complaint", None))

recipients = st.sampled_from(RECIPIENTS)
minutes = st.integers(0, 30)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    said, action = draw(st.sampled_from(CLASSES + (("soft", "failed"),) * 4))
    reason = draw(st.sampled_from(["user-unknown", "mailbox-full", None]))
    send = f"send {draw(st.integers(0, 7))}"
    return outcome(draw(recipients), said, send, action=action, reason=reason, rule=reason or "none")


@st.composite
def mails(draw: st.DrawFn, number: int) -> list[VerdictMessage]:
    """All that is ever delivered of one mail: by several runs, at several times, judged by several classifiers."""
    judgements = draw(st.lists(st.lists(outcomes(), max_size=4), min_size=1, max_size=3))
    copies = []
    for version, judged in enumerate(judgements, 1):
        for copy in range(draw(st.integers(1, 2))):
            # One a mail in a later year, so that what it comes to does not depend on when it was recorded first.
            received_at = FAR_FUTURE if number == 0 else at(draw(minutes))
            copies.append(
                verdict(
                    f"{number}",
                    *judged,
                    received_at=received_at,
                    run_id=draw(st.sampled_from(RUNS)),
                    classifier_version=version // 2 + 1,
                    judged_at=at(version * 10 + copy),
                    kind="bounce" if judged else "not-bounce",
                    verdict="hard" if judged else "ignore",
                )
            )
    return copies


@dataclass(frozen=True)
class History:
    verdicts: Sequence[VerdictMessage]
    holds: Mapping[str, str]
    words: Sequence[Word]
    batches: Sequence[Sequence[VerdictMessage]]
    """The same verdicts, some of them again, in another order and cut in pieces."""


@st.composite
def histories(draw: st.DrawFn) -> History:
    count = draw(st.integers(1, 10))
    delivered = [one for number in range(count) for one in draw(mails(number))]
    again = draw(st.lists(st.sampled_from(delivered), max_size=8))
    shuffled = draw(st.permutations(delivered + again))
    cuts = sorted(draw(st.sets(st.integers(1, len(shuffled)), max_size=6)))
    batches = [shuffled[start:end] for start, end in itertools.pairwise([0, *cuts, len(shuffled)]) if start < end]
    states = draw(st.lists(st.sampled_from(["held", "dropped", "applied", None]), min_size=3, max_size=3))
    holds = {run: state for run, state in zip(RUNS[1:], states, strict=True) if run and state}
    made = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(RECIPIENTS[:3]), minutes), st.sampled_from(["released", "suppressed"]), max_size=3
        )
    )
    words = [Word(str(recipient), at(minute + 0.5), state) for (recipient, minute), state in made.items()]
    return History(delivered, holds, words, batches)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("ledger")
    engine = connect(f"sqlite:///{folder / 'ledger.db'}")
    upgrade(engine)
    yield engine
    engine.dispose()


def run(engine: Engine, history: History, batches: Sequence[Sequence[VerdictMessage]]) -> State:
    clear(engine)
    plant(engine, history.holds)
    say(engine, history.words)
    store = SqlVerdictStore(engine)
    for batch in batches:
        store.record(batch)
    return comparable(stored(engine))


def clear(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (report, raw_run, raw, address, outbox, hold, mark, audit):
            connection.execute(delete(table))


def say(engine: Engine, words: Sequence[Word]) -> None:
    plant(engine, words=words)
    with transaction(engine) as connection:  # as whoever makes a mark folds its address
        marked = lock_addresses(connection, sorted({word.recipient for word in words}), STARTED)
        recompute(connection, marked, read_policy(connection), STARTED)


def comparable(state: State) -> State:
    """Times after the test's beginning are one: they say when a report from the future was recorded first."""
    mails = {key: (clamp(row[0]), *row[1:]) for key, row in state.mails.items()}
    rows = {key: _without_future(row) for key, row in state.addresses.items()}
    return State(rows, mails, state.reports)


STARTED = datetime.now(UTC)


def clamp(when: datetime) -> datetime:
    return min(when, STARTED)


def _without_future(row: Row) -> Row:
    return row._replace(since=clamp(row.since) if row.since else None)


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(histories())
def test_order_duplicates_and_batches_change_nothing(engine: Engine, history: History) -> None:
    truth = comparable(expected(history.verdicts, history.holds, history.words, now=STARTED))
    assert run(engine, history, [history.verdicts]) == truth
    assert run(engine, history, history.batches) == truth


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(histories(), st.integers(0, 8), st.randoms(use_true_random=False))
def test_people_decide_in_the_middle(engine: Engine, history: History, after: int, order: Random) -> None:
    """Every run is held at first; words are given and runs applied or dropped between any two batches."""
    truth = comparable(expected(history.verdicts, history.holds, history.words, now=STARTED))
    clear(engine)
    plant(engine, dict.fromkeys(history.holds, "held"))
    store, runs = SqlVerdictStore(engine), SqlRuns(engine)
    for batch in history.batches[:after]:
        store.record(batch)
    decisions = [(run_id, state) for run_id, state in history.holds.items() if state != "held"]
    order.shuffle(decisions)
    for run_id, state in decisions:
        if state == "applied":
            runs.apply(run_id, "tester", "")
            list(runs.settle(run_id))
        else:
            runs.drop(run_id, "tester", "")
    say(engine, history.words)
    for batch in history.batches[after:]:
        store.record(batch)
    assert comparable(stored(engine)) == truth


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories())
def test_recording_everything_again_tells_nobody_anything(engine: Engine, history: History) -> None:
    run(engine, history, history.batches)
    assert SqlVerdictStore(engine).record(history.verdicts) == []


def test_the_model_itself_can_tell_states_apart() -> None:
    one = verdict("1", outcome("ann@example.com", "hard"))
    assert expected([one]).addresses["ann@example.com"].state == "bounced"
    assert expected([one], holds={"run-1": "held"}).addresses["ann@example.com"].state == "bounced"
    assert (
        expected([{**one, "run_id": "run-1"}], holds={"run-1": "held"}).addresses.get("ann@example.com", BLANK) == BLANK
    )
    assert expected([one], words=[Word("ann@example.com", at(1), "released")]).addresses == {}
    assert len(name("x")) == 64
