"""What became of the passes over each account, and of the mails that they found. Only reads."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, FromClause, Select, and_, case, exists, func, or_, select, union_all
from sqlalchemy import literal_column as words

from services.scheduler.planning import LEASE_AT_MOST
from services.scheduler.watching import Passes
from shared.tables.fetcher import bounce_account, found, lease, run, schedule
from shared.tables.ledger import dead_letter, hold, raw, raw_run
from shared.tables.transactions import now_of, transaction


@dataclass(slots=True)
class Tally:
    """Mails of one account; each is in exactly one of the counts."""

    hard: int = 0
    soft: int = 0
    unidentified: int = 0
    ignored: int = 0
    duplicate: int = 0
    """Recorded before, through another run or a publisher."""
    dead_lettered: int = 0
    waiting: int = 0
    """Found, and neither recorded nor dead yet."""
    unread: int = 0
    """Could not be read (yet); still in the mailbox."""

    @property
    def found(self) -> int:
        """All that were read."""
        judged = self.hard + self.soft + self.unidentified + self.ignored
        return judged + self.duplicate + self.dead_lettered + self.waiting


def read_passes(engine: Engine, accounts: Collection[str] | None = None) -> tuple[datetime, list[Passes]]:
    """The database's now, and what is known of the passes over every account, or these, by name.

    Raises DatabaseUnreachable.
    """
    one = run.alias()
    of_account = one.c.account == bounce_account.c.name
    is_ended = or_(_ended_at(one).is_not(None), one.c.last_error.is_not(None))
    last_ended = select(one.c.run_id).where(of_account, is_ended).order_by(one.c.started_at.desc()).limit(1)
    query = (
        select(
            bounce_account.c.name,
            bounce_account.c.is_active,
            bounce_account.c.interval_s,
            func.coalesce(schedule.c.since, bounce_account.c.created_at).label("since"),
            schedule.c.next_at,
            schedule.c.is_told,
            select(func.max(one.c.finished_at)).where(of_account).scalar_subquery().label("finished_at"),
            select(func.max(one.c.fetched_at))
            .join(hold, hold.c.run_id == one.c.run_id)
            .where(of_account)
            .scalar_subquery()
            .label("held_at"),
            select(func.max(one.c.started_at)).where(of_account).scalar_subquery().label("tried_at"),
            run.c.started_at,
            _ended_at(run).label("ended_at"),
            run.c.last_error,
            lease.c.until,
        )
        .outerjoin(schedule, schedule.c.account == bounce_account.c.name)
        .outerjoin(lease, lease.c.account == bounce_account.c.name)
        .outerjoin(run, run.c.run_id == last_ended.correlate(bounce_account).scalar_subquery())
        .order_by(bounce_account.c.name)
    )
    if accounts is not None:
        query = query.where(bounce_account.c.name.in_(accounts))
    with transaction(engine, is_reading=True) as connection:
        now = now_of(connection)
        rows = connection.execute(query).all()
    return now, [_passes(row, now) for row in rows]


def _ended_at(one: FromClause) -> ColumnElement[datetime]:
    """When the pass came to its end. A held one waits for a person, not for the mailbox: it has when that is read."""
    is_held = exists(select(hold.c.run_id).where(hold.c.run_id == one.c.run_id))
    ended_at: ColumnElement[datetime] = func.coalesce(one.c.finished_at, case((is_held, one.c.fetched_at)))
    return ended_at


def _passes(row: Any, now: datetime) -> Passes:
    error = row.last_error
    succeeded_at = max((at for at in (row.finished_at, row.held_at) if at is not None), default=None)
    if error is not None and row.ended_at is None and succeeded_at is not None:
        # Another pass came to its end after this one had begun: it was turned away for that one, and all is well.
        error = None if succeeded_at > row.started_at else error
    return Passes(
        account=row.name,
        is_active=row.is_active,
        interval=timedelta(seconds=row.interval_s),
        since=row.since,
        next_at=row.next_at,
        succeeded_at=succeeded_at,
        tried_at=row.tried_at,
        has_failed=error is not None and row.ended_at is None,
        last_error=error,
        is_worked_on=row.until is not None and now < row.until < now + LEASE_AT_MOST,
        is_told=bool(row.is_told),
    )


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One run, as far as the fetcher has told of it."""

    run_id: str
    account: str
    started_at: datetime
    fetched_at: datetime | None
    """When its last slice was fetched."""
    finished_at: datetime | None
    last_error: str | None
    state: str | None
    """held, applying, applied or dropped; None when it never was held."""


_SEEN = (
    run.c.run_id,
    run.c.account,
    run.c.started_at,
    run.c.fetched_at,
    run.c.finished_at,
    run.c.last_error,
    hold.c.state,
)


def read_run(engine: Engine, run_id: str) -> RunSeen | None:
    """None until a fetcher has begun it. Raises DatabaseUnreachable."""
    chosen = select(*_SEEN).outerjoin(hold, hold.c.run_id == run.c.run_id).where(run.c.run_id == run_id)
    with transaction(engine, is_reading=True) as connection:
        row = connection.execute(chosen).one_or_none()
    return RunSeen(*row) if row else None


def read_unended(engine: Engine) -> list[tuple[str, str]]:
    """Run and account of each account's newest pass, if it has begun, is not through, and no error ended it."""
    newer = run.alias()
    is_newest = ~exists(
        select(newer.c.run_id).where(newer.c.account == run.c.account, newer.c.started_at > run.c.started_at)
    )
    is_unended = and_(run.c.fetched_at.is_(None), run.c.finished_at.is_(None), run.c.last_error.is_(None))
    with transaction(engine, is_reading=True) as connection:
        rows = connection.execute(
            select(run.c.run_id, run.c.account).where(is_unended, is_newest).order_by(run.c.account)
        )
        return [(row.run_id, row.account) for row in rows]


def read_runs(engine: Engine, after: tuple[datetime, str] | None, size: int) -> list[RunSeen]:
    """So many, the newest first, after that (started_at, run_id). Raises DatabaseUnreachable."""
    chosen = select(*_SEEN).outerjoin(hold, hold.c.run_id == run.c.run_id)
    if after is not None:
        at, run_id = after
        chosen = chosen.where(
            or_(run.c.started_at < at, and_(run.c.started_at == at, run.c.run_id < run_id)), run.c.started_at <= at
        )
    with transaction(engine, is_reading=True) as connection:
        rows = connection.execute(chosen.order_by(run.c.started_at.desc(), run.c.run_id.desc()).limit(size)).all()
    return [RunSeen(*row) for row in rows]


def tally_run(engine: Engine, run_id: str) -> Tally:
    """The mails that one run found, each in exactly one count, also after they left the mailbox. Raises DatabaseUnreachable."""
    name = found.c.raw_id
    of_run = found.c.run_id == run_id
    is_dead = exists().where(dead_letter.c.raw_id == name)
    by_verdict = select(raw.c.verdict, func.count()).where(raw.c.run_id == run_id, raw.c.run_id != "")
    again = select(func.count()).select_from(raw_run).where(raw_run.c.run_id == run_id)
    copies = select(func.count(name) - func.count(name.distinct())).where(of_run)
    open_ones = select(
        func.count(name.distinct()).filter(name.is_not(None), ~is_dead),
        func.count(name.distinct()).filter(name.is_not(None), is_dead),
        func.count().filter(name.is_(None)),
    )
    open_ones = open_ones.select_from(found).outerjoin(raw, raw.c.raw_id == name).where(of_run, raw.c.raw_id.is_(None))
    tally = Tally()
    with transaction(engine, is_reading=True) as connection:
        for verdict, count in connection.execute(by_verdict.group_by(raw.c.verdict)):
            setattr(tally, "ignored" if verdict == "ignore" else verdict, count)
        # Recorded through another run before, or in the mailbox twice.
        tally.duplicate = connection.execute(again).scalar_one() + connection.execute(copies).scalar_one()
        tally.waiting, tally.dead_lettered, tally.unread = connection.execute(open_ones).one()
    return tally


def tally_mails(engine: Engine, within: timedelta | None) -> dict[str, Tally]:
    """By account, the mails of all runs that began within that time; those that wait or cannot be read, always.

    An account without any mail is not in it. Raises DatabaseUnreachable.
    """
    name = found.c.raw_id
    is_recorded = exists().where(raw.c.raw_id == name)
    is_dead = exists().where(dead_letter.c.raw_id == name, dead_letter.c.state != "replayed")
    with transaction(engine, is_reading=True) as connection:
        begun = run.c.started_at >= now_of(connection) - within if within is not None else run.c.run_id.is_not(None)

        def of_runs(kind: Any, table: Any, *conditions: Any) -> Select[Any]:
            mails = select(run.c.account, kind.label("kind"), table.c.raw_id).where(begun, *conditions)
            return mails.select_from(table).join(run, run.c.run_id == table.c.run_id).distinct()

        dead = dead_letter.c.raw_id
        is_only_dead = and_(dead_letter.c.state != "replayed", ~exists().where(raw.c.raw_id == dead))
        kinds = union_all(
            of_runs(raw.c.verdict, raw),
            of_runs(words("'duplicate'"), raw_run),
            of_runs(words("'dead_lettered'"), dead_letter, dead.is_not(None), is_only_dead),
            select(found.c.account, words("'waiting'"), name).where(name.is_not(None), ~is_recorded, ~is_dead),
            select(found.c.account, words("'unread'"), name).where(name.is_(None)),
        ).subquery()
        counts = select(kinds.c.account, kinds.c.kind, func.count()).group_by(kinds.c.account, kinds.c.kind)
        tallies: dict[str, Tally] = defaultdict(Tally)
        for account, kind, count in connection.execute(counts):
            setattr(tallies[account], "ignored" if kind == "ignore" else kind, count)
    return dict(tallies)
