"""Dead letters: filed, listed, replayed as often as anybody likes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, update

from services.ledger.dead_letters_sql import Choice, SqlDeadLetters
from services.ledger.handler import DeadLetterHandler, VerdictHandler
from services.ledger.store_sql import SqlVerdictStore
from shared.bus import FAILED_AT_HEADER, QUEUE_HEADER, Delivery, Message, Rejection
from shared.contract import JSON
from shared.local_bus import LocalBus
from shared.tables.ledger import audit, dead_letter
from shared.topology import CLASSIFIER_RAW, DEAD_EXCHANGE, LEDGER_DEAD, LEDGER_VERDICTS
from shared.wire import raw_bounce_message, verdict_message
from tests.property.ledger_model import outcome, standing, stored, verdict

ANN = "ann@example.com"
ALL = Choice()


@pytest.fixture
def letters(engine: Engine) -> SqlDeadLetters:
    return SqlDeadLetters(engine)


class Classifier:
    """Rejects every mail, as long as it is broken; then it judges them all hard."""

    def __init__(self, bus: LocalBus) -> None:
        self.bus = bus
        self.is_broken = True

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        if self.is_broken:
            return [Rejection(delivery, "no rule \0 \ud800 for it") for delivery in deliveries]
        for delivery in deliveries:
            text = delivery.message.body.decode()
            self.bus.publish([verdict_message(verdict(text, outcome(ANN, "soft", text)))])
        return []


@pytest.fixture
def bus(engine: Engine, letters: SqlDeadLetters) -> LocalBus:
    bus = LocalBus()
    bus.subscribe(LEDGER_DEAD.name, DeadLetterHandler(letters))
    bus.subscribe(LEDGER_VERDICTS.name, VerdictHandler(SqlVerdictStore(engine), None, bus))
    return bus


@pytest.fixture
def classifier(bus: LocalBus) -> Classifier:
    classifier = Classifier(bus)
    bus.subscribe(CLASSIFIER_RAW.name, classifier)
    return classifier


def publish(bus: LocalBus, *mails: str) -> None:
    bus.publish([raw_bounce_message(mail.encode(), run_id="run", account="news") for mail in mails])


def test_a_letter_says_what_it_is(bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters) -> None:
    publish(bus, "one")
    (filed,) = letters.list(ALL)
    assert filed.attempts == 1
    letter = filed.letter
    assert (letter.queue, letter.run_id) == ("classifier.raw", "run")
    assert letter.reason == "no rule \ufffd ? for it"
    assert (letter.body, filed.size_bytes) == (b"", 3), "a list holds no bodies"
    assert letters.page(ALL, None, 1) == [filed]
    whole = letters.find(letter.letter_id)
    assert whole is not None
    assert (whole[0].letter.body, whole[0].size_bytes) == (b"one", 3)


def test_one_that_dies_again_stays_dead(bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters) -> None:
    publish(bus, "one", "two")
    for attempts in (2, 3):
        assert letters.replay(ALL, bus, "tests") == 2
        assert [filed.attempts for filed in letters.list(ALL)] == [attempts, attempts]


def test_replaying_any_number_of_times_counts_once(
    bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters, engine: Engine
) -> None:
    publish(bus, *(f"mail {n}" for n in range(4)))
    classifier.is_broken = False
    assert letters.replay(ALL, bus, "tests") == 4
    assert letters.count(ALL) == 0
    assert standing(engine, ANN)[:2] == ("ok", 4)
    with engine.begin() as connection:
        told = connection.execute(select(audit.c.who, audit.c.what)).all()
    assert set(told) == {("tests", "replay letter")}
    assert len(told) == 4
    before = stored(engine)
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(update(dead_letter).values(state="dead"))
        assert letters.replay(ALL, bus, "tests") == 4
        assert stored(engine) == before
    assert letters.replay(ALL, bus, "tests") == 0


def test_more_than_a_page_some_of_which_die_again(
    bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters, engine: Engine
) -> None:
    publish(bus, *(f"mail {n}" for n in range(450)))
    said: list[int] = []
    assert letters.replay(ALL, bus, "tests", said.append) == 450
    assert said == [200, 400, 450]
    assert letters.count(ALL) == 450
    assert {filed.attempts for filed in letters.list(ALL)} == {2}


def test_large_ones_are_held_a_few_at_a_time(
    bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters, engine: Engine
) -> None:
    publish(bus, *(f"mail {n} {'x' * 1_000_000}" for n in range(20)))
    classifier.is_broken = False
    said: list[int] = []
    assert letters.replay(ALL, bus, "tests", said.append) == 20
    assert said == [16, 20]


def test_by_age(bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters, engine: Engine) -> None:
    publish(bus, "old", "new")
    now = datetime.now(UTC)
    old = next(letters.list(ALL)).letter.letter_id
    with engine.begin() as connection:
        is_old = dead_letter.c.letter_id == old
        connection.execute(update(dead_letter).where(is_old).values(last_failed_at=now - timedelta(days=2)))
    yesterday = now - timedelta(days=1)
    assert [one.letter.letter_id for one in letters.list(Choice(failed_before=yesterday))] == [old]
    assert letters.count(Choice(failed_after=yesterday)) == 1
    assert letters.count(Choice(failed_after=yesterday, failed_before=yesterday)) == 0


def test_those_of_an_unknown_queue_hold_up_nobody(
    bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters
) -> None:
    publish(bus, "one")
    foreign = [Delivery(dead("nonsense", {QUEUE_HEADER: f"nonsense{n}"}), LEDGER_DEAD.name) for n in range(3)]
    assert DeadLetterHandler(letters)(foreign) == []
    classifier.is_broken = False
    assert letters.count(ALL) == 4
    assert [one.letter.queue for one in letters.page(Choice(is_known_queue=True), None, 2)] == ["classifier.raw"]
    assert letters.replay_these(letters.list(ALL), bus, "tests") == 1
    assert letters.count(ALL) == 3


def test_choosing(bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters) -> None:
    publish(bus, "one")
    bus.publish([Message("mailroom", "bounce.verdict", b"{", JSON)])
    assert [letters.count(Choice(stage=stage)) for stage in ("classifier", "ledger", "ledger.verdicts", "led")] == [
        1,
        1,
        1,
        0,
    ]
    (ours,) = letters.list(Choice(stage="ledger"))
    assert letters.count(Choice(letter_id=ours.letter.letter_id[:8])) == 1
    assert letters.count(Choice(reason="not JSON")) == 1
    assert letters.count(Choice(reason="%")) == 0
    assert letters.count(Choice(stage="ledger", reason="no rule")) == 0


HOSTILE: dict[str, Callable[[], Message]] = {
    "a queue that is none": lambda: dead("nonsense", {QUEUE_HEADER: "\0nonsense" * 50}),
    "a time past the end of time": lambda: dead("classifier.raw", {FAILED_AT_HEADER: "9999-12-31T23:59:59-12:00"}),
    "a time before the first": lambda: dead("classifier.raw", {FAILED_AT_HEADER: "0001-01-01T00:00:00+14:00"}),
    "texts that nobody stores": lambda: dead("classifier.raw", {"x": "\0", "\ud800": "\udfff", "y": float("nan")}),
    "a type that nobody stores": lambda: Message(DEAD_EXCHANGE, "classifier.raw", b"", "\0" * 999, "\ud800" * 999),
}


def dead(queue: str, headers: dict[str, str | float]) -> Message:
    return Message(DEAD_EXCHANGE, queue, b"\0\xff", "message/rfc822", headers=headers, message_id="\0")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_letter_can_be_filed_listed_and_replayed(
    hostile: str, bus: LocalBus, classifier: Classifier, letters: SqlDeadLetters
) -> None:
    publish(bus, "one")
    assert DeadLetterHandler(letters)([Delivery(HOSTILE[hostile](), LEDGER_DEAD.name)]) == []
    assert letters.count(ALL) == len(list(letters.list(ALL))) == 2
    replayed = letters.replay(ALL, bus, "tests")
    assert replayed == (1 if hostile == "a queue that is none" else 2)
    assert letters.count(ALL) == 2
    assert all(filed.letter.failed_at <= datetime.now(UTC) for filed in letters.list(ALL))
