"""Several ledgers on one PostgreSQL, and a PostgreSQL that dies: the state is exact, and nothing but Transient is seen."""

import random
import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text

from services.ledger.store_sql import SqlVerdictStore
from shared.contract import VerdictMessage
from shared.errors import Transient
from shared.tables import connect
from shared.tables.ledger import hold, outbox
from shared.tables.schema import DatabaseUnreachable
from shared.tables.transactions import transaction
from tests.property.ledger_model import at, expected, outcome, stored, verdict
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.waiting import eventually

SEVERITIES = ("soft", "soft", "soft", "unidentified", "hard")


def history(count: int, seed: int = 7) -> list[VerdictMessage]:
    """Overlapping sends to 50 addresses; every third mail is judged anew, and may then name somebody else."""
    rng = random.Random(seed)

    def said(n: int) -> list:  # type: ignore[type-arg]
        chosen = rng.sample(range(50), rng.choice((1, 1, 1, 3)))
        return [outcome(f"u{one}@example.com", rng.choice(SEVERITIES), f"send {n % 400}") for one in chosen]

    made = []
    for n in range(count):
        made.append(verdict(f"{n}", *said(n), received_at=at(rng.randrange(1000)), run_id=rng.choice((None, "a", "b"))))
        if n % 3 == 0:
            made.append(verdict(f"{n}", *said(n), received_at=at(rng.randrange(1000)), classifier_version=2))
    return made


def record_all(store: SqlVerdictStore, batches: Sequence[Sequence[VerdictMessage]]) -> int:
    """How often a batch had to be tried again."""
    again = 0
    for batch in batches:
        while True:
            try:
                store.record(batch)
                break
            except Transient:
                again += 1
                assert again < 1000
    return again


def shuffled_batches(everything: Sequence[VerdictMessage], seed: int, size: int) -> list[list[VerdictMessage]]:
    mine = list(everything)
    random.Random(seed).shuffle(mine)
    return [mine[start : start + size] for start in range(0, len(mine), size)]


def in_threads(engine: Engine, work: Sequence[Sequence[Sequence[VerdictMessage]]]) -> int:
    again: list[int] = []
    errors: list[BaseException] = []

    def run(batches: Sequence[Sequence[VerdictMessage]]) -> None:
        try:
            again.append(record_all(SqlVerdictStore(engine), batches))
        except BaseException as exc:  # noqa: BLE001 (told to the test)
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(batches,)) for batches in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert errors == []
    return sum(again)


def test_four_ledgers_with_overlapping_batches(pg: Engine) -> None:
    everything = history(600)
    again = in_threads(pg, [shuffled_batches(everything, seed, size) for seed, size in enumerate((7, 20, 60, 150))])
    assert stored(pg) == expected(everything)
    assert again == 0  # sorted locks: not even one deadlock that PostgreSQL had to break
    assert counted_by(pg, "deadlocks") == 0


def test_four_ledgers_with_a_quarter_each(pg: Engine) -> None:
    """No mail comes twice, so a count that two ledgers lost between them stays lost."""
    everything = history(3000)
    random.Random(1).shuffle(everything)
    again = in_threads(pg, [shuffled_batches(everything[quarter::4], 1, 10) for quarter in range(4)])
    assert stored(pg) == expected(everything)
    assert again == 0
    assert counted_by(pg, "deadlocks") == 0


def test_four_ledgers_that_meet_at_addresses_nobody_knew(pg: Engine) -> None:
    def mails(ledger: int, turn: int) -> list[VerdictMessage]:
        return [
            verdict(f"{ledger} {turn} {n}", outcome(f"u{turn}-{n}@example.com", "soft", f"{ledger}"))
            for n in random.Random(ledger).sample(range(100), 100)
        ]

    work = [[mails(ledger, turn) for turn in range(25)] for ledger in range(4)]
    assert in_threads(pg, work) == 0
    assert counted_by(pg, "deadlocks") == 0
    everything = [one for batches in work for batch in batches for one in batch]
    assert {row.soft for row in stored(pg).addresses.values()} == {4}
    assert stored(pg) == expected(everything)


def test_two_ledgers_on_sqlite(engine: Engine) -> None:
    everything = history(150)
    in_threads(engine, [shuffled_batches(everything, seed, 30) for seed in range(2)])
    assert stored(engine) == expected(everything)


def test_the_outbox_is_forgotten_by_several_at_once(pg: Engine) -> None:
    changes = SqlVerdictStore(pg).record(history(300))
    threads = [
        threading.Thread(
            target=SqlVerdictStore(pg).clear_outbox, args=(random.Random(seed).sample(changes, len(changes)),)
        )
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    SqlVerdictStore(pg).clear_outbox(changes)
    with pg.connect() as connection:
        assert connection.execute(select(outbox)).all() == []
    assert counted_by(pg, "deadlocks") == 0


def test_a_hold_that_is_being_decided_is_waited_for(pg: Engine) -> None:
    """A verdict of a run is folded before or after the decision on it, never beside it."""
    with pg.begin() as connection:
        connection.execute(insert(hold).values(run_id="run", state="held", held_at=at(0)))
    recorded = threading.Event()
    one = verdict("1", outcome("ann@example.com"), run_id="run")
    with pg.begin() as deciding:
        deciding.execute(select(hold).with_for_update()).all()
        thread = threading.Thread(target=lambda: (SqlVerdictStore(pg).record([one]), recorded.set()))
        thread.start()
        eventually(lambda: waits_for_a_lock(pg), "the batch to wait")
        assert not recorded.is_set()
        deciding.execute(hold.update().values(state="applied"))
    thread.join()
    assert stored(pg) == expected([one])


def test_a_mail_that_another_ledger_gives_other_recipients_meanwhile(pg: Engine, database_url: str) -> None:
    older = verdict("1", outcome("bob@example.com"))
    newer = verdict("1", outcome("ann@example.com"), classifier_version=2)
    second = threading.Thread(target=lambda: SqlVerdictStore(pg).record([newer]))
    first = connect(database_url)

    @event.listens_for(first, "commit")
    def before_the_commit(_connection: Connection) -> None:
        if not second.ident:
            second.start()
            eventually(lambda: waits_for_a_lock(pg), "the other ledger to meet the same mail")

    SqlVerdictStore(first).record([older])
    second.join()
    first.dispose()
    assert stored(pg) == expected([older, newer])


def waits_for_a_lock(pg: Engine) -> bool:
    with pg.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return connection.execute(text(waiting)).scalar_one() > 0


def counted_by(pg: Engine, what: str) -> int:
    with pg.connect() as connection:
        told = text(f"SELECT {what} FROM pg_stat_database WHERE datname = current_database()")
        return int(connection.execute(told).scalar_one())


@pytest.mark.stops_server
def test_a_server_that_dies_in_mid_stream(postgresql: PostgreSQLServer, pg: Engine) -> None:
    everything = history(400)
    batches = shuffled_batches(everything, 1, 20) + shuffled_batches(everything, 2, 40)
    halfway = threading.Event()
    unreachable = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        store = SqlVerdictStore(pg)
        for number, batch in enumerate(batches):
            if number == len(batches) // 2:
                halfway.set()

            def recorded(batch: Sequence[VerdictMessage] = batch) -> bool:
                try:
                    store.record(batch)
                except DatabaseUnreachable:
                    unreachable.set()
                    return False
                return True

            try:
                eventually(recorded, "the batch to be recorded", timeout_s=60)
            except BaseException as exc:  # noqa: BLE001 (told to the test)
                errors.append(exc)
                return

    thread = threading.Thread(target=run)
    thread.start()
    assert halfway.wait(60)
    postgresql.kill()
    assert unreachable.wait(30)
    postgresql.restart()
    thread.join(timeout=100)
    assert errors == []
    assert stored(pg) == expected(everything)


def test_a_server_that_only_reads_after_a_failover_is_no_poison(pg: Engine) -> None:
    with pg.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = pg.url.database
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    pg.dispose()
    with pytest.raises(DatabaseUnreachable, match="read-only"):
        SqlVerdictStore(pg).record(history(1))


def test_a_missing_grant_is_no_poison(pg: Engine) -> None:
    with pg.begin() as connection:
        connection.execute(text("ALTER TABLE report RENAME TO elsewhere"))
    with pytest.raises(DatabaseUnreachable, match="report"):
        SqlVerdictStore(pg).record(history(1))


def test_no_server_at_all() -> None:
    nowhere = connect("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnreachable, match="cannot do it now"), transaction(nowhere):
        pass
