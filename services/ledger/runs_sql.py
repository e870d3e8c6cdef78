"""Runs that wait for a person: held before they begin, then applied or dropped. What they bring counts only when applied."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, Select, and_, exists, or_, select, update

from services.ledger.marks_sql import WHO_LENGTH, WHY_LENGTH, storable
from services.ledger.ports import Change
from services.ledger.standings_sql import lock_addresses, read_policy, recompute
from shared.errors import ConfigurationError
from shared.tables.ledger import APPLIED, APPLYING, DROPPED, HELD, audit, hold, raw, raw_run, report
from shared.tables.transactions import insert, now_of, transaction

PAGE: Final = 1_000


class HeldRun(NamedTuple):
    """A run that waits for a person, or did."""

    run_id: str
    state: str
    held_at: datetime
    decided_at: datetime | None


class Said(NamedTuple):
    """What one mail of a run says of one recipient; empty when nobody can tell which."""

    recipient: str
    raw_id: str
    verdict: str
    action: str | None
    reason: str | None
    status: str | None
    diagnostic_code: str | None
    rule: str
    evidence: str


class SqlRuns:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hold(self, run_id: str) -> None:
        """Keep what the run brings from being counted; to be written before its request is published.

        Raises ConfigurationError when it is held or decided already.
        """
        with transaction(self._engine) as connection:
            row = {"run_id": run_id, "state": HELD, "held_at": now_of(connection)}
            made = insert(connection, hold).values(row).on_conflict_do_nothing().returning(hold.c.run_id)
            if connection.execute(made).scalar_one_or_none() is None:
                raise ConfigurationError(f"run {run_id} is {_state(connection, run_id)} already: hold a new one")

    def held(self, *, is_waiting: bool = False, limit: int = 100) -> list[HeldRun]:
        """The newest first; with is_waiting, only those that nobody has decided about."""
        chosen = select(hold).order_by(hold.c.held_at.desc(), hold.c.run_id).limit(limit)
        if is_waiting:
            chosen = chosen.where(hold.c.state == HELD)
        with transaction(self._engine, is_reading=True) as connection:
            return [HeldRun(*row) for row in connection.execute(chosen)]

    def is_known(self, run_id: str) -> bool:
        """Whether it was ever held, or brought a mail."""
        with transaction(self._engine, is_reading=True) as connection:
            known = exists().where(hold.c.run_id == run_id) | exists(_mails_of(run_id))
            return bool(connection.execute(select(known)).scalar_one())

    def said(self, run_id: str) -> Iterator[Said]:
        """What its mails say, by recipient, streamed a page at a time."""
        columns = [report.c[name] for name in Said._fields]
        chosen = select(*columns).where(report.c.raw_id.in_(_mails_of(run_id)))
        with transaction(self._engine, is_reading=True) as connection:
            ordered = chosen.order_by(report.c.recipient, report.c.raw_id)
            for row in connection.execution_options(yield_per=PAGE).execute(ordered):
                yield Said(*row)

    def said_page(self, run_id: str, after: tuple[str, ...] | None, size: int) -> list[Said]:
        """The next so many after (raw_id, recipient), in that order; the first ones without `after`.

        Read in the order of two indexes, however many there are.
        """
        columns = [report.c[name] for name in Said._fields]
        found: dict[Said, None] = {}
        with transaction(self._engine, is_reading=True) as connection:
            for came in (raw, raw_run):  # a mail that came through the run again is in the one, any other in the other
                of_run = and_(came.c.run_id == run_id, came.c.run_id != "")
                chosen = select(*columns).join_from(came, report, report.c.raw_id == came.c.raw_id).where(of_run)
                if after is not None:
                    same = and_(came.c.raw_id == after[0], report.c.recipient > after[1])
                    chosen = chosen.where(came.c.raw_id >= after[0], or_(came.c.raw_id > after[0], same))
                ordered = chosen.order_by(came.c.raw_id, report.c.recipient).limit(size)
                found |= dict.fromkeys(Said(*row) for row in connection.execute(ordered))
        return sorted(found, key=lambda one: one.raw_id)[:size]  # recipients stay in the order of the database

    def state(self, run_id: str) -> HeldRun | None:
        """What is decided about a held run; None when it never was held."""
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(select(hold).where(hold.c.run_id == run_id)).one_or_none()
        return HeldRun(*row) if row else None

    def apply(self, run_id: str, who: str, why: str) -> str:
        """Let the run count from now on; `settle` then judges its addresses anew. The state that it has now.

        Once it is applied, again changes nothing. Raises ConfigurationError for a run that was dropped or never held.
        """
        return self._decide(run_id, APPLYING, (APPLYING, APPLIED), "apply run", who, why)

    def drop(self, run_id: str, who: str, why: str) -> str:
        """Never let the run count; its mails stay in the mailbox, and the next run finds them. The state that it has now.

        Once it is dropped, again changes nothing. Raises ConfigurationError for a run that was applied or never held.
        """
        return self._decide(run_id, DROPPED, (DROPPED,), "drop run", who, why)

    def _decide(self, run_id: str, state: str, done: tuple[str, ...], what: str, who: str, why: str) -> str:
        with transaction(self._engine) as connection:
            # Batches that met the run while it was held end first; those that come later meet the decision.
            standing = connection.execute(select(hold.c.state).where(hold.c.run_id == run_id).with_for_update())
            known: str | None = standing.scalar_one_or_none()
            if known in done:
                return known
            if known != HELD:
                raise ConfigurationError(
                    f"run {run_id} was {known}, and that is final: fetch the account again"
                    if known
                    else f"there is no held run {run_id}: `mailroom runs` lists them"
                )
            now = now_of(connection)
            connection.execute(update(hold).where(hold.c.run_id == run_id).values(state=state, decided_at=now))
            said = {"who": storable(who, WHO_LENGTH), "why": storable(why, WHY_LENGTH)}
            connection.execute(
                insert(connection, audit).values(said | {"made_at": now, "what": what, "subject": run_id})
            )
            return state

    def settle(
        self, run_id: str, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[list[Change]]:
        """Judge every address that an applied run names anew, a page a transaction; what changed on each, after its commit.

        Safe beside ledgers, twice, and again after it was interrupted. `progress` is told how many of how many are done.
        """
        named = select(report.c.recipient).where(report.c.raw_id.in_(_mails_of(run_id)), report.c.recipient != "")
        with transaction(self._engine, is_reading=True) as connection:
            recipients = list(connection.execute(named.distinct().order_by(report.c.recipient)).scalars())
        for start in range(0, len(recipients), PAGE):
            page = sorted(recipients[start : start + PAGE])
            with transaction(self._engine) as connection:
                now = now_of(connection)
                before = lock_addresses(connection, page, now)
                changes = recompute(connection, before, read_policy(connection), now)
            progress(start + len(page), len(recipients))
            yield changes
        with transaction(self._engine) as connection:
            applied = update(hold).where(hold.c.run_id == run_id, hold.c.state == APPLYING)
            connection.execute(applied.values(state=APPLIED))

    def unsettled(self) -> list[HeldRun]:
        """Runs that were applied and whose addresses are not all judged anew yet."""
        with transaction(self._engine, is_reading=True) as connection:
            return [HeldRun(*row) for row in connection.execute(select(hold).where(hold.c.state == APPLYING))]


def _mails_of(run_id: str) -> Select[tuple[str]]:
    first = select(raw.c.raw_id).where(raw.c.run_id == run_id, raw.c.run_id != "")
    again = select(raw_run.c.raw_id).where(raw_run.c.run_id == run_id)
    return first.union(again)  # type: ignore[return-value]


def _state(connection: Connection, run_id: str) -> str:
    return str(connection.execute(select(hold.c.state).where(hold.c.run_id == run_id)).scalar_one())
