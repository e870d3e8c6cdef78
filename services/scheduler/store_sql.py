"""The plans on PostgreSQL and SQLite. Writes the table schedule; only reads the accounts and what the fetchers did."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    or_,
    select,
    update,
)

from services.scheduler.passes_sql import read_passes
from services.scheduler.planning import Change, Known, Progress, Schedule
from services.scheduler.watching import Passes
from shared.tables.fetcher import bounce_account, lease, run, schedule
from shared.tables.transactions import insert, now_of, transaction

_PLAN: Final = [column for column in schedule.c if column.name != "is_told"]

_IS_SCHEDULED: Final = and_(bounce_account.c.is_active, bounce_account.c.interval_s > 0)
_NOW: Final = bindparam("now", type_=schedule.c.next_at.type)
_MAY_CHANGE: Final = or_(
    schedule.c.account.is_(None),
    schedule.c.interval_s != bounce_account.c.interval_s,
    schedule.c.planned_at > _NOW,
    schedule.c.next_at <= _NOW,
)
"""What `plan` would leave alone need not be read."""
_PROGRESS: Final = case(
    (run.c.run_id.is_(None), Progress.NOT_BEGUN.value),
    (or_(run.c.finished_at.is_not(None), run.c.last_error.is_not(None)), Progress.ENDED.value),
    else_=Progress.BEGUN.value,
)


class SqlScheduleStore:
    """Every method is one transaction, and raises DatabaseUnreachable when waiting may help."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> tuple[datetime, list[Known], list[str]]:
        """The database's now; what may have to be planned or asked for; and what has a plan but is paused or gone."""
        accounts = (
            select(
                bounce_account.c.name,
                bounce_account.c.interval_s.label("wanted_s"),
                _PROGRESS.label("progress"),
                lease.c.until,
                *_PLAN,
            )
            .outerjoin(schedule, schedule.c.account == bounce_account.c.name)
            .outerjoin(run, run.c.run_id == schedule.c.run_id)
            .outerjoin(lease, lease.c.account == bounce_account.c.name)
            .where(_IS_SCHEDULED, _MAY_CHANGE)
        )
        others = select(schedule.c.account).where(
            ~exists().where(bounce_account.c.name == schedule.c.account, _IS_SCHEDULED)
        )
        with transaction(self._engine, is_reading=True) as connection:
            times = {"now": now_of(connection)}
            known = [
                Known(
                    row.name,
                    timedelta(seconds=row.wanted_s),
                    _schedule(row) if row.account is not None else None,
                    Progress(row.progress),
                    row.until,
                )
                for row in connection.execute(accounts, times)
            ]
            return times["now"], known, list(connection.execute(others).scalars())

    def write(self, changes: Sequence[Change], publish: Callable[[Sequence[Change]], None]) -> list[Change]:
        """The changes that were written: those whose row was still what it was, and in nobody else's hands.

        `publish` is given the requests among them, before they are written and while nobody else can make them.
        """
        with transaction(self._engine) as connection:
            known = {change.account: change for change in changes if change.before is not None}
            standing = {row.account: _schedule(row) for row in _locked(connection, known)}
            new = [change.after for change in changes if change.before is None]
            mine = [change for change in known.values() if standing.get(change.account) == change.before]
            if requests := [change for change in mine if change.is_request]:
                publish(requests)
            _write(connection, new, is_new=True)
            _write(connection, [change.after for change in mine], is_new=False)
        return mine

    def forget(self, accounts: Sequence[str]) -> None:
        """Drop the plans of accounts that are paused or gone."""
        with transaction(self._engine) as connection:
            names = [row.account for row in _locked(connection, accounts)]
            connection.execute(delete(schedule).where(schedule.c.account.in_(names)))

    def read_passes(self) -> tuple[datetime, list[Passes]]:
        """The database's now, and what is known of the passes over every account, by name."""
        return read_passes(self._engine)

    def tell(self, alerts: Mapping[str, bool], say: Callable[[str], None]) -> None:
        """Remember whether a person is told of each account; `say` is called for those of which that is new."""
        with transaction(self._engine) as connection:
            for is_told in (True, False):
                names = [name for name, wanted in alerts.items() if wanted == is_told]
                rows = _locked(connection, names, schedule.c.is_told != is_told)
                for row in rows:
                    say(row.account)
                changed = schedule.c.account.in_([row.account for row in rows])
                connection.execute(update(schedule).where(changed).values(is_told=is_told))


def _locked(connection: Connection, accounts: Iterable[str], *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Their rows, without those that another scheduler has in hand; SQLite has one writer at a time anyway."""
    rows = select(*_PLAN).where(schedule.c.account.in_(list(accounts)), *conditions).order_by(schedule.c.account)
    return connection.execute(rows.with_for_update(skip_locked=True)).all()


def _write(connection: Connection, plans: Iterable[Schedule], *, is_new: bool) -> None:
    """One statement and many rows. A new one that somebody else planned first stays as it is."""
    rows = [_row(plan) | {"is_told": False} for plan in sorted(plans, key=lambda plan: plan.account)]
    if not rows:
        return
    statement = insert(connection, schedule)
    if is_new:
        statement = statement.on_conflict_do_nothing()
    else:
        changed = {column.name: statement.excluded[column.name] for column in _PLAN if column.name != "account"}
        statement = statement.on_conflict_do_update(index_elements=[schedule.c.account], set_=changed)
    connection.execute(statement, rows)  # executemany: a statement of 500 rows takes longer to compile than to run


def _schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        row.account,
        timedelta(seconds=row.interval_s),
        row.since,
        row.planned_at,
        row.next_at,
        row.requested_at,
        row.run_id,
        row.puts,
    )


def _row(plan: Schedule) -> dict[str, Any]:
    return {
        "account": plan.account,
        "interval_s": int(plan.interval.total_seconds()),
        "since": plan.since,
        "planned_at": plan.planned_at,
        "next_at": plan.next_at,
        "requested_at": plan.requested_at,
        "run_id": plan.run_id,
        "puts": plan.puts,
    }
