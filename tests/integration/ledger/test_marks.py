"""Words of people: alike on PostgreSQL and SQLite, also while reports come in and others speak."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Connection, Engine, event, select, text

from services.ledger.app import keep_up
from services.ledger.handler import VerdictHandler
from services.ledger.marking import TRANSACTION_ADDRESSES, Marking, Tally, Wish
from services.ledger.marks_sql import SqlMarks
from services.ledger.policy import SUPPRESSED_BY_HAND, State
from services.ledger.ports import RELEASED, SUPPRESSED
from services.ledger.projection_redis import RedisProjection
from services.ledger.store_sql import SqlVerdictStore
from shared.bus import BrokerUnreachable, Message
from shared.contract import VerdictMessage
from shared.errors import ConfigurationError, InvalidAddress
from shared.local_bus import LocalBus
from shared.suppressions import Suppressions, connect_redis
from shared.tables.ledger import address, audit, mark, outbox
from shared.tables.schema import DatabaseUnreachable
from shared.topology import RELEASED as RELEASED_KEY
from shared.topology import SUPPRESSED as SUPPRESSED_ROUTE
from shared.wire import read_address_event
from tests.e2e.state import projected_in
from tests.property.ledger_model import FAR_FUTURE, Word, at, expected, outcome, plant, standing, stored, verdict
from tests.servers.waiting import eventually

ANN = "ann@example.com"
BOB = "bob@example.com"


@pytest.fixture
def marks(engine: Engine) -> SqlMarks:
    return SqlMarks(engine)


@pytest.fixture
def marking(engine: Engine, marks: SqlMarks) -> Marking:
    """Without Redis and without a broker."""
    return Marking(marks, SqlVerdictStore(engine), None, None)


def new(mail: str, verdict_: str = "hard", **fields: Any) -> VerdictMessage:
    """A report that is received now."""
    return verdict(mail, outcome(ANN, verdict_, f"send {mail}"), received_at=FAR_FUTURE, **fields)


def old(mail: str, verdict_: str = "hard", minutes: float = 0) -> VerdictMessage:
    """A report from long before anybody spoke."""
    return verdict(mail, outcome(ANN, verdict_, f"send {mail}"), received_at=at(minutes))


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def words(engine: Engine) -> list[Word]:
    return [Word(row.recipient, row.made_at, row.state) for row in rows(engine, mark)]


class TestSuppressing:
    def test_an_address_that_nobody_ever_met(self, engine: Engine, marking: Marking) -> None:
        before = datetime.now(UTC) - timedelta(seconds=1)
        done = marking.suppress(["Ann@Example.com"], "on the phone", "eva")
        (one,) = done.marked
        assert (one.recipient, one.before.state, one.after.state) == (ANN, State.OK, State.SUPPRESSED)
        assert done.is_told
        assert Suppressions(engine).are_suppressed([ANN, BOB]) == [True, False]
        (made,) = rows(engine, mark)
        assert (made.recipient, made.state, made.why, made.who) == (ANN, "suppressed", "on the phone", "eva")
        assert before < made.made_at < datetime.now(UTC) + timedelta(seconds=1)
        (audited,) = rows(engine, audit)
        assert tuple(audited)[1:] == (made.made_at, "eva", "suppress", ANN, "on the phone")
        (left,) = rows(engine, outbox)
        assert (left.recipient, left.version, left.event) == (ANN, rows(engine, address)[0].version, SUPPRESSED)

    def test_twice_is_two_marks_and_one_state(self, engine: Engine, marking: Marking) -> None:
        marking.suppress([ANN], "one", "eva")
        (again,) = marking.suppress([ANN, ANN], "two", "eva").marked
        assert again.before.state == again.after.state == State.SUPPRESSED
        assert again.change is None or again.change.event is None
        assert [row.why for row in rows(engine, mark)] == ["one", "two"]
        assert len(rows(engine, audit)) == 2
        assert standing(engine, ANN).state == "suppressed"

    def test_it_outlasts_whatever_is_reported(self, engine: Engine, marking: Marking, store: SqlVerdictStore) -> None:
        store.record([old("1")])
        marking.suppress([ANN], "why", "eva")
        store.record([verdict("1", kind="not-bounce", verdict="ignore", classifier_version=2)])
        assert standing(engine, ANN)[:3] == ("suppressed", 0, False)

    def test_texts_as_no_database_takes_them(self, engine: Engine, marking: Marking) -> None:
        marking.suppress([ANN], "a\0b\udcff" + "x" * 5000, "e\0" * 500)
        (made,) = rows(engine, mark)
        assert made.why.startswith("a\ufffdb?x")
        assert (len(made.why), len(made.who)) == (2000, 255)

    @pytest.mark.parametrize("state", ["suppress", "release"])
    def test_nothing_is_done_without_a_why_or_with_an_invalid_address(
        self, engine: Engine, marking: Marking, state: str
    ) -> None:
        say = getattr(marking, state)
        with pytest.raises(ConfigurationError, match="say why"):
            say([ANN], " \n", "eva")
        with pytest.raises(InvalidAddress):
            say([ANN, "nobody"], "why", "eva")
        assert rows(engine, mark) == rows(engine, audit) == rows(engine, address) == []
        assert say([], "why", "eva").marked == []

    def test_more_than_one_transaction(self, engine: Engine, marking: Marking) -> None:
        many = [f"u{n}@example.com" for n in range(TRANSACTION_ADDRESSES + 5)]
        done = marking.suppress(many, "why", "eva")
        assert [one.recipient for one in done.marked] == many
        assert {row.state for row in stored(engine).addresses.values()} == {"suppressed"}
        assert len(rows(engine, audit)) == len(many)


class TestReleasing:
    def test_what_was_reported_before_never_counts_again(
        self, engine: Engine, marking: Marking, store: SqlVerdictStore
    ) -> None:
        store.record([old("1")])
        (one,) = marking.release([ANN], "her mailbox is back", "eva").marked
        assert (one.before.state, one.before.reason) == (State.BOUNCED, "user-unknown")
        assert (one.after.state, one.change and one.change.event) == (State.OK, RELEASED)
        assert rows(engine, audit)[0].what == "release"
        assert store.record([old("1"), old("late"), old("1", minutes=-9)]) == []
        assert standing(engine, ANN) == ("ok", 0, False, None, None, None)

    def test_a_newer_classifier_may_judge_an_old_mail_as_it_likes(
        self, engine: Engine, marking: Marking, store: SqlVerdictStore
    ) -> None:
        store.record([old("1", "soft")])
        marking.release([ANN], "why", "eva")
        store.record([{**old("1"), "classifier_version": 2}])
        assert standing(engine, ANN).state == "ok"

    def test_a_send_that_fails_worse_only_after_the_release_counts(
        self, engine: Engine, marking: Marking, store: SqlVerdictStore
    ) -> None:
        store.record([verdict("1", outcome(ANN, "soft", "send"), received_at=at(0))])
        marking.release([ANN], "why", "eva")
        store.record([verdict("2", outcome(ANN, "hard", "send"), received_at=FAR_FUTURE)])
        assert standing(engine, ANN)[:3] == ("bounced", 0, True)

    def test_a_new_report_suppresses_again(self, engine: Engine, marking: Marking, store: SqlVerdictStore) -> None:
        store.record([old("1")])
        marking.release([ANN], "why", "eva")
        (change,) = store.record([new("2")])
        assert (change.event, change.standing.state) == (SUPPRESSED, State.BOUNCED)

    def test_five_new_soft_bounces_do_and_four_do_not(
        self, engine: Engine, marking: Marking, store: SqlVerdictStore
    ) -> None:
        store.record([old(str(n), "soft", n) for n in range(5)])
        marking.release([ANN], "why", "eva")
        for n in range(10, 14):
            store.record([new(str(n), "soft"), old("3", "soft", 3)])
        assert standing(engine, ANN)[:2] == ("ok", 4)
        store.record([new("14", "soft")])
        assert standing(engine, ANN)[:2] == ("bounced", 5)

    def test_soft_bounces_so_far_are_forgotten(self, marking: Marking, store: SqlVerdictStore) -> None:
        store.record([old(str(n), "soft", n) for n in range(3)])
        (one,) = marking.release([ANN], "why", "eva").marked
        assert (one.before.soft, one.after.soft) == (3, 0)
        assert one.change is not None
        assert one.change.event is None

    def test_suppressed_by_hand_then_released_then_suppressed(self, engine: Engine, marking: Marking) -> None:
        marking.suppress([ANN], "1", "eva")
        marking.release([ANN], "2", "eva")
        assert standing(engine, ANN).state == "ok"
        marking.suppress([ANN], "3", "eva")
        assert standing(engine, ANN)[:4] == ("suppressed", 0, False, SUPPRESSED_BY_HAND)

    def test_one_that_nobody_ever_met(self, engine: Engine, marking: Marking, store: SqlVerdictStore) -> None:
        (one,) = marking.release([ANN], "why", "eva").marked
        assert (one.before, one.change) == (one.after, None)
        store.record([old("1")])  # it was under way
        assert standing(engine, ANN).state == "ok"

    def test_the_later_word_wins_also_when_the_clock_was_set_back(self, engine: Engine, marking: Marking) -> None:
        ahead = datetime.now(UTC) + timedelta(days=3)
        plant(engine, words=[Word(ANN, ahead, "suppressed")])
        marking.release([ANN], "why", "eva")
        assert standing(engine, ANN).state == "ok"
        marking.suppress([ANN], "why", "eva")
        assert standing(engine, ANN).state == "suppressed"
        assert [row.made_at - ahead for row in rows(engine, mark)] == [timedelta(microseconds=n) for n in range(3)]


class TestOneTransaction:
    @pytest.mark.parametrize("table", ["mark", "audit", "address", "outbox"])
    def test_all_of_it_or_nothing(self, engine: Engine, marking: Marking, store: SqlVerdictStore, table: str) -> None:
        store.record([old("1")])
        before = [rows(engine, one) for one in (mark, audit, address, outbox)]
        verb = "UPDATE" if table == "address" else "INSERT"
        with breaking(engine, verb, table), pytest.raises(DatabaseUnreachable):
            marking.release([ANN], "why", "eva")
        assert [rows(engine, one) for one in (mark, audit, address, outbox)] == before


@contextmanager
def breaking(engine: Engine, verb: str, table: str) -> Iterator[None]:
    """The database refuses to write to one table."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            refuse = f"CREATE TRIGGER broken BEFORE {verb} ON {table} BEGIN SELECT * FROM nowhere; END"
            connection.execute(text(refuse))
        else:
            connection.execute(
                text(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN SELECT * FROM nowhere; RETURN NEW; END $$"
                )
            )
            connection.execute(
                text(f"CREATE TRIGGER broken BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
            )
    yield
    with engine.begin() as connection:
        on = f" ON {table}" if engine.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TRIGGER broken{on}"))


class TestRaces:
    def test_words_and_reports_of_the_same_addresses_at_the_same_time(self, engine: Engine) -> None:
        """Whatever came in between whatever: the state is the fold of what stands in the tables."""
        people = [f"u{n}@example.com" for n in range(5)]
        reported: list[list[VerdictMessage]] = [[], []]

        def report(mine: list[VerdictMessage], name: str) -> None:
            store = SqlVerdictStore(engine)
            for n in range(30):
                said = [outcome(one, ("soft", "hard")[n % 7 == 0], f"send {name} {n}") for one in people]
                mine.append(verdict(f"{name} {n}", *said, received_at=datetime.now(UTC)))
                store.record(mine[-1:])

        def speak(state: str, count: int) -> None:
            marks = SqlMarks(engine)
            for n in range(count):
                marks.mark(state, dict.fromkeys(people[n % 2 :], "why"), "eva")

        together(
            lambda: report(reported[0], "a"),
            lambda: report(reported[1], "b"),
            lambda: speak("released", 25),
            lambda: speak("suppressed", 20),
        )
        SqlMarks(engine).mark("released", {people[0]: "why"}, "eva")
        said = words(engine)
        # People were spoken of 25 + 12 or 13, and 20 + 10 times.
        assert len(said) == 25 * 5 - 12 + 20 * 5 - 10 + 1
        assert stored(engine).addresses == expected(reported[0] + reported[1], words=said).addresses
        assert standing(engine, people[0]).state == "ok"

    def test_two_releases_at_once(self, engine: Engine, store: SqlVerdictStore) -> None:
        store.record([old("1")])
        told: list[Any] = []
        release: Callable[[], None] = lambda: told.extend(SqlMarks(engine).mark("released", {ANN: "w"}, "eva"))  # noqa: E731
        together(release, release)
        assert standing(engine, ANN).state == "ok"
        assert len(words(engine)) == len(rows(engine, audit)) == 2
        assert sorted(one.change.event for one in told if one.change) == [RELEASED]

    def test_a_release_waits_for_a_report_and_sees_it(self, pg: Engine) -> None:
        """Else it would find an address that stands well, change nothing, and leave it to the report to suppress it."""
        SqlVerdictStore(pg).record([old("1", "unidentified")])
        with holding(pg, "UPDATE address", lambda: SqlVerdictStore(pg).record([new("2")])) as let_go:
            releasing = start(lambda: SqlMarks(pg).mark("released", {ANN: "why"}, "eva"))
            eventually(lambda: waiting_for_locks(pg) == 1, "the release to wait", timeout_s=10)
            let_go()
        releasing()
        assert standing(pg, ANN) == ("ok", 0, False, None, None, None)

    def test_a_report_of_before_waits_for_a_release_and_counts_for_nothing(self, pg: Engine) -> None:
        SqlVerdictStore(pg).record([old("1")])
        with holding(pg, "INSERT INTO audit", lambda: SqlMarks(pg).mark("released", {ANN: "why"}, "eva")) as let_go:
            recording = start(lambda: SqlVerdictStore(pg).record([old("2", minutes=3)]))
            eventually(lambda: waiting_for_locks(pg) == 1, "the report to wait")
            let_go()
        recording()
        assert standing(pg, ANN).state == "ok"

    def test_a_report_of_after_the_release_waits_for_it_and_counts(self, pg: Engine) -> None:
        with holding(pg, "INSERT INTO audit", lambda: SqlMarks(pg).mark("released", {ANN: "why"}, "eva")) as let_go:
            recording = start(lambda: SqlVerdictStore(pg).record([new("2")]))
            eventually(lambda: waiting_for_locks(pg) == 1, "the report to wait")
            let_go()
        recording()
        assert standing(pg, ANN).state == "bounced"


def start(work: Callable[[], object]) -> Callable[[], None]:
    """Begins in a thread of its own; what is returned waits for the end, and raises what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 (told to the test)
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert errors == []

    return end


def together(*works: Callable[[], object]) -> None:
    for end in [start(work) for work in works]:
        end()


@contextmanager
def holding(engine: Engine, statement: str, work: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Lets the work come as far as the statement, which it sends when it is let go."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(_connection: Connection, _cursor: Any, sent: str, *_: Any) -> None:
        if sent.startswith(statement) and not reached.is_set():
            reached.set()
            assert go_on.wait(60)

    event.listen(engine, "before_cursor_execute", pause)
    end = start(work)
    try:
        assert reached.wait(60)
        yield go_on.set
    finally:
        go_on.set()
        end()


def waiting_for_locks(engine: Engine) -> int:
    with engine.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return int(connection.execute(text(waiting)).scalar_one())


class Heard:
    """A bus that says what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.bus = LocalBus()
        for key in (SUPPRESSED_ROUTE, RELEASED_KEY):
            self.bus.listen(key, self._hear)

    def _hear(self, message: Message) -> None:
        told = read_address_event(message)
        self.events.append((told["recipient"], told["state"]))


class DownBroker:
    """A broker that is away; how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def publish(self, messages: object) -> None:
        self.asked += 1
        raise BrokerUnreachable("it is away")


def in_redis(client: redis.Redis) -> dict[str, str]:
    found, suppressed = projected_in(client)
    assert suppressed == {one for one, row in found.items() if not row.endswith(" ok")}
    return found


class TestTelling:
    @pytest.fixture
    def heard(self) -> Heard:
        return Heard()

    @pytest.fixture
    def telling(self, engine: Engine, projection: RedisProjection, heard: Heard) -> Marking:
        """With a Redis that is filled and ready, and a bus."""
        store = SqlVerdictStore(engine)
        keep_up(engine, projection, VerdictHandler(store, projection, heard.bus))
        return Marking(SqlMarks(engine), store, projection, heard.bus)

    def test_redis_and_the_bus_know_at_once(
        self, engine: Engine, telling: Marking, client: redis.Redis, heard: Heard
    ) -> None:
        assert telling.suppress([ANN, BOB], "why", "eva").is_told
        assert Suppressions(None, client).are_suppressed([ANN, BOB]) == [True, True]
        assert telling.release([ANN], "why", "eva").is_told
        assert Suppressions(None, client).are_suppressed([ANN, BOB]) == [False, True]
        assert sorted(heard.events) == [(ANN, "ok"), (ANN, "suppressed"), (BOB, "suppressed")]
        assert rows(engine, outbox) == []
        assert in_redis(client) == {row.recipient: f"{row.version} 0 {row.state}" for row in rows(engine, address)}

    def test_without_a_broker_redis_knows_and_the_event_is_kept(
        self, engine: Engine, telling: Marking, projection: RedisProjection, client: redis.Redis
    ) -> None:
        done = Marking(SqlMarks(engine), SqlVerdictStore(engine), projection, None).suppress([ANN], "why", "eva")
        assert done.is_told
        assert Suppressions(None, client).are_suppressed([ANN]) == [True]
        assert [(row.recipient, row.event) for row in rows(engine, outbox)] == [(ANN, SUPPRESSED)]

    def test_a_broker_that_is_away_keeps_nothing_from_being_recorded(
        self, engine: Engine, telling: Marking, projection: RedisProjection, client: redis.Redis
    ) -> None:
        down = DownBroker()
        marking = Marking(SqlMarks(engine), SqlVerdictStore(engine), projection, down)
        assert not marking.suppress([ANN], "why", "eva").is_told
        assert Suppressions(engine, client).are_suppressed([ANN]) == [True]
        assert len(rows(engine, outbox)) == 1

    def test_a_redis_that_is_away_keeps_nothing_from_being_recorded(self, engine: Engine, heard: Heard) -> None:
        with connect_redis("redis://127.0.0.1:1/0") as nowhere:
            marking = Marking(SqlMarks(engine), SqlVerdictStore(engine), RedisProjection(nowhere), heard.bus)
            assert not marking.suppress([ANN], "why", "eva").is_told
        assert standing(engine, ANN).state == "suppressed"
        assert heard.events == []
        assert len(rows(engine, outbox)) == 1

    def test_a_long_list_does_not_wait_for_the_broker_again_and_again(self, engine: Engine) -> None:
        down = DownBroker()
        marking = Marking(SqlMarks(engine), SqlVerdictStore(engine), None, down)
        many = [Wish(f"u{n}@example.com", "why") for n in range(3 * TRANSACTION_ADDRESSES)]
        assert marking.take_over(many, "eva") == Tally(len(many), 0, is_told=False)
        assert down.asked == 1
        assert len(rows(engine, outbox)) == len(many)


class TestTakingOver:
    def test_the_second_time_nothing_changes(self, engine: Engine, marking: Marking, store: SqlVerdictStore) -> None:
        store.record([old("1")])
        wishes = [Wish(f"u{n}@example.com", f"why {n}") for n in range(TRANSACTION_ADDRESSES + 3)]
        wishes += [wishes[0], Wish(ANN, "it bounced", is_bounced=True)]
        seen: list[Tally] = []
        assert marking.take_over(iter(wishes), "eva", seen.append) == Tally(TRANSACTION_ADDRESSES + 3, 2)
        assert seen == [Tally(TRANSACTION_ADDRESSES, 0), Tally(TRANSACTION_ADDRESSES + 3, 2)]
        before = [rows(engine, one) for one in (mark, audit, address, outbox)]
        assert {row.what for row in before[1]} == {"import"}
        assert marking.take_over(wishes, "eva") == Tally(0, len(wishes))
        assert [rows(engine, one) for one in (mark, audit, address, outbox)] == before
        assert standing(engine, ANN).state == "bounced"

    def test_one_that_is_named_twice_in_a_batch(self, marks: SqlMarks) -> None:
        marked = marks.take_over([Wish(ANN, "1"), Wish(BOB, "2"), Wish(ANN, "3")], "eva")
        assert [(one.recipient, one.is_left, one.after.state) for one in marked] == [
            (ANN, False, State.SUPPRESSED),
            (BOB, False, State.SUPPRESSED),
            (ANN, True, State.SUPPRESSED),
        ]

    def test_what_bounced_is_suppressed_when_the_list_does_not_say_why(
        self, engine: Engine, marking: Marking, store: SqlVerdictStore
    ) -> None:
        store.record([old("1")])
        assert marking.take_over([Wish(ANN, "why")], "eva") == Tally(1)
        assert standing(engine, ANN).state == "suppressed"

    def test_a_released_address_is_suppressed_again(self, engine: Engine, marking: Marking) -> None:
        marking.take_over([Wish(ANN, "why")], "eva")
        marking.release([ANN], "why", "eva")
        assert marking.take_over([Wish(ANN, "why")], "eva") == Tally(1)

    def test_nothing(self, engine: Engine, marking: Marking, marks: SqlMarks) -> None:
        assert marking.take_over([], "eva") == Tally()
        assert marks.take_over([], "eva") == marks.mark("released", {}, "eva") == []

    def test_two_at_once_that_name_the_same_in_another_order(self, engine: Engine) -> None:
        turns, size = 10, 300
        begin = threading.Barrier(2)

        def take_over(step: int) -> None:
            marks = SqlMarks(engine)
            for turn in range(turns):
                wishes = [Wish(f"u{turn}-{n}@example.com", "why") for n in range(size)]
                begin.wait(60)
                marks.take_over(wishes[::step], "eva")

        together(lambda: take_over(1), lambda: take_over(-1))
        assert len(words(engine)) == len(stored(engine).addresses) == turns * size
