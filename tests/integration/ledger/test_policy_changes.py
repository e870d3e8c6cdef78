"""A new policy reaches every address, those too that a batch counts at the same time."""

import threading

import pytest
from sqlalchemy import Engine, select, update

from services.ledger.handler import VerdictHandler
from services.ledger.policy import Policy
from services.ledger.policy_sql import SqlPolicy
from services.ledger.standings_sql import lock_addresses, read_policy, recompute
from services.ledger.store_sql import SqlVerdictStore
from services.ledger.upkeep import finish_policy
from shared.contract import VerdictMessage
from shared.errors import ConfigurationError
from shared.local_bus import LocalBus
from shared.tables.ledger import audit, outbox, policy
from shared.tables.transactions import now_of, transaction
from tests.property.ledger_model import at, expected, outcome, standing, stored, verdict

ANN, BOB = "ann@example.com", "bob@example.com"


def soft(recipient: str, count: int) -> list[VerdictMessage]:
    return [
        verdict(f"{recipient} {number}", outcome(recipient, "soft", f"send {number}"), received_at=at(number))
        for number in range(count)
    ]


def apply(policies: SqlPolicy) -> int:
    return sum(map(len, policies.recompute()))


class TestChanging:
    def test_a_limit_below_one_is_refused(self, engine: Engine) -> None:
        with pytest.raises(ConfigurationError, match="1 is the least"):
            SqlPolicy(engine).change(Policy(soft_limit=0), "tester", "none")

    def test_a_lower_limit_suppresses_and_a_higher_releases(self, engine: Engine) -> None:
        store, policies = SqlVerdictStore(engine), SqlPolicy(engine)
        verdicts = [*soft(ANN, 3), *soft(BOB, 6)]
        store.record(verdicts)
        policies.change(Policy(soft_limit=3), "tester", "stricter")
        assert apply(policies) == 2
        assert stored(engine).addresses == expected(verdicts, limit=3).addresses
        policies.change(Policy(soft_limit=7), "tester", "milder")
        assert apply(policies) == 2
        assert stored(engine).addresses == expected(verdicts, limit=7).addresses
        assert apply(policies) == 0

    def test_what_changes_is_told_to_senders(self, engine: Engine) -> None:
        SqlVerdictStore(engine).record(soft(ANN, 3))
        policies = SqlPolicy(engine)
        policies.change(Policy(soft_limit=3), "tester", "stricter")
        ((change,),) = [changes for changes in policies.recompute() if changes]
        assert (change.recipient, change.event) == (ANN, "suppressed")
        with engine.connect() as connection:
            assert change.version in connection.execute(select(outbox.c.version)).scalars().all()

    def test_who_changed_it_is_kept(self, engine: Engine) -> None:
        made = SqlPolicy(engine).change(Policy(soft_limit=2, complaint_suppresses=True), "tester", "complaints count")
        assert (made.version, made.recomputed_at) == (2, None)
        with engine.connect() as connection:
            (row,) = connection.execute(select(audit)).all()
        assert (row.who, row.subject, row.why) == ("tester", "policy", "complaints count")

    def test_the_same_again_changes_nothing(self, engine: Engine) -> None:
        assert SqlPolicy(engine).change(Policy(), "tester", "as it is").version == 1

    def test_it_is_known_whether_every_address_stands_by_it(self, engine: Engine) -> None:
        policies = SqlPolicy(engine)
        SqlVerdictStore(engine).record(soft(ANN, 3))
        policies.change(Policy(soft_limit=2), "tester", "stricter")
        next(policies.recompute())  # interrupted after its first page
        assert policies.in_force().recomputed_at is None
        apply(policies)
        assert policies.in_force().recomputed_at is not None


def test_a_batch_that_still_judges_by_the_old_policy_is_waited_for(pg: Engine) -> None:
    """Its new address would stand before the place that the recomputing had reached."""
    SqlVerdictStore(pg).record(soft(BOB, 1))
    policies = SqlPolicy(pg)
    changed = threading.Event()

    def change() -> None:
        policies.change(Policy(soft_limit=1), "tester", "stricter")
        changed.set()

    with transaction(pg) as batch:
        now = now_of(batch)
        before = lock_addresses(batch, [ANN], now)
        limits = read_policy(batch)
        thread = threading.Thread(target=change)
        thread.start()
        assert not changed.wait(0.5)
        recompute(batch, before, limits, now)
    thread.join(10)
    assert changed.is_set()
    with transaction(pg) as batch:
        assert read_policy(batch) == Policy(soft_limit=1)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_any_limit_gives_what_the_model_gives(engine: Engine, limit: int) -> None:
    policies = SqlPolicy(engine)
    verdicts = [*soft(ANN, 6), *soft(BOB, 2), verdict("hard", outcome(BOB, "hard", "another"), received_at=at(9))]
    SqlVerdictStore(engine).record(verdicts[:4])
    policies.change(Policy(soft_limit=limit), "tester", "a test")
    apply(policies)
    SqlVerdictStore(engine).record(verdicts[4:])
    assert stored(engine).addresses == expected(verdicts, limit=limit).addresses


def test_a_ledger_finishes_what_was_interrupted(engine: Engine) -> None:
    store = SqlVerdictStore(engine)
    store.record(soft(ANN, 3))
    SqlPolicy(engine).change(Policy(soft_limit=3), "tester", "stricter")
    handler = VerdictHandler(store, None, LocalBus())
    finish_policy(engine, handler)  # whoever changed it may still be at it
    assert standing(engine, ANN).state == "ok"
    with engine.begin() as connection:
        connection.execute(update(policy).where(policy.c.version == 2).values(made_at=at(0)))
    finish_policy(engine, handler)
    assert standing(engine, ANN).state == "bounced"
    assert SqlPolicy(engine).in_force().recomputed_at is not None
