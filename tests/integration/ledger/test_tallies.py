"""What came on each day: counted beside the batches, and as what was recorded stands."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from services.ledger.store_sql import SqlVerdictStore
from services.ledger.tallies_sql import DOMAIN, MOST_VALUES, REASON, SqlTallies
from shared.contract import VerdictMessage
from shared.tables.ledger import changed_day, tally
from shared.tables.transactions import transaction
from tests.property.ledger_model import outcome, verdict

NOON = datetime.now(UTC).replace(hour=0, minute=0, second=1, microsecond=0)


def hard(mail: str, recipient: str, **fields: Any) -> VerdictMessage:
    return verdict(mail, outcome(recipient), **fields)


def soft(mail: str, recipient: str, **fields: Any) -> VerdictMessage:
    return verdict(mail, outcome(recipient, "soft"), verdict="soft", **fields)


def counts(engine: Engine, days: int = 3) -> list[tuple[int, int, int, int]]:
    return [tuple(one[1:]) for one in SqlTallies(engine).by_day(days)]


def test_mails_count_for_their_day_and_verdict(store: SqlVerdictStore, engine: Engine) -> None:
    store.record([hard("a", "ann@example.com", received_at=NOON)])
    store.record([soft("b", "bob@example.net", received_at=NOON - timedelta(days=1))])
    SqlTallies(engine).recount()
    assert counts(engine) == [(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0)]


def test_a_mail_judged_anew_counts_as_it_is_judged_now(store: SqlVerdictStore, engine: Engine) -> None:
    store.record([hard("a", "ann@example.com", received_at=NOON)])
    SqlTallies(engine).recount()
    later = NOON - timedelta(days=1)
    store.record([soft("a", "ann@example.com", received_at=later, classifier_version=2)])
    SqlTallies(engine).recount()
    assert counts(engine) == [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0)]


def test_the_same_mails_again_count_once(store: SqlVerdictStore, engine: Engine) -> None:
    for _ in range(2):
        store.record([hard("a", "ann@example.com", received_at=NOON)])
        SqlTallies(engine).recount()
    assert counts(engine, 1) == [(1, 0, 0, 0)]
    with transaction(engine) as connection:
        assert connection.execute(select(func.count()).select_from(changed_day)).scalar_one() == 0


def test_domains_and_reasons_come_most_frequent_first(store: SqlVerdictStore, engine: Engine) -> None:
    store.record([hard(f"a{number}", f"u{number}@big.example", received_at=NOON) for number in range(3)])
    store.record([soft("b", '"x@y"@small.example', received_at=NOON)])
    tallies = SqlTallies(engine)
    tallies.recount()
    assert [(one.value, one.hard, one.soft) for one in tallies.shares(DOMAIN, 1)] == [
        ("big.example", 3, 0),
        ("small.example", 0, 1),
    ]
    assert [one.total for one in tallies.shares(REASON, 1)] == [3, 1]


def test_a_day_keeps_so_many_values_and_no_more(store: SqlVerdictStore, engine: Engine) -> None:
    mails = [hard(f"a{number}", f"u@d{number}.example", received_at=NOON) for number in range(MOST_VALUES + 20)]
    store.record(mails)
    SqlTallies(engine).recount()
    with transaction(engine) as connection:
        kept = select(func.count()).select_from(tally).where(tally.c.dimension == DOMAIN)
        assert connection.execute(kept).scalar_one() == MOST_VALUES


def test_counting_takes_its_share_of_the_time_and_no_more(store: SqlVerdictStore, engine: Engine) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0  # whatever is done takes a second
        return now[0]

    tallies = SqlTallies(engine, clock)
    store.record([hard("a", "ann@example.com", received_at=NOON)])
    assert tallies.recount_in_turn() == 1
    store.record([hard("b", "ann@example.com", received_at=NOON)])
    assert tallies.recount_in_turn() == 0
    now[0] += 20.0
    assert tallies.recount_in_turn() == 1
