"""Comparing what the fetchers found with what became of it: every mail is recorded, dead, or still on its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, and_, case, exists, func, not_, or_, select

from shared.tables.fetcher import found
from shared.tables.ledger import dead_letter, raw, raw_run
from shared.tables.transactions import now_of, transaction

LATE_AFTER: Final = timedelta(hours=1)
"""A mail that is neither recorded nor dead is waiting so long; after that something is wrong."""

EXAMPLES: Final = 100

_IS_RECORDED: Final = or_(
    exists().where(raw.c.raw_id == found.c.raw_id, raw.c.run_id == found.c.run_id),
    exists().where(raw_run.c.raw_id == found.c.raw_id, raw_run.c.run_id == found.c.run_id),
)
_IS_RECORDED_ELSEWHERE: Final = exists().where(raw.c.raw_id == found.c.raw_id)
_IS_DEAD: Final = exists().where(dead_letter.c.raw_id == found.c.raw_id, dead_letter.c.state != "replayed")
_IS_SETTLED: Final = _IS_RECORDED | _IS_RECORDED_ELSEWHERE | _IS_DEAD


@dataclass(frozen=True, slots=True)
class RunBalance:
    """What became of the mails that one run found; each is in exactly one of the counts."""

    run_id: str
    account: str
    recorded: int
    elsewhere: int
    """Recorded through another run or publisher only."""
    dead: int
    """Set aside as a dead letter, also one that a person discarded."""
    unread: int
    """Could not be fetched (yet); still in the mailbox."""
    waiting: int
    missing: int
    """Neither recorded nor dead, for longer than a mail may wait."""


def balance_runs(engine: Engine, late_after: timedelta = LATE_AFTER) -> list[RunBalance]:
    """Every run of which a mail is known, by its id. Raises DatabaseUnreachable."""
    with transaction(engine, is_reading=True) as connection:
        is_late = found.c.found_at < now_of(connection) - late_after
        fate = case(
            (found.c.raw_id.is_(None), "unread"),
            (_IS_RECORDED, "recorded"),
            (_IS_RECORDED_ELSEWHERE, "elsewhere"),
            (_IS_DEAD, "dead"),
            (is_late, "missing"),
            else_="waiting",
        ).label("fate")
        fates = select(found.c.run_id, found.c.account, fate).subquery()
        counts = [
            func.sum(case((fates.c.fate == one, 1), else_=0)).label(one)
            for one in ("recorded", "elsewhere", "dead", "unread", "waiting", "missing")
        ]
        runs = select(fates.c.run_id, fates.c.account, *counts).group_by(fates.c.run_id, fates.c.account)
        rows = connection.execute(runs.order_by(fates.c.run_id, fates.c.account)).all()
    return [RunBalance(*row) for row in rows]


def missing_mails(
    engine: Engine, late_after: timedelta = LATE_AFTER, limit: int = EXAMPLES
) -> Sequence[tuple[str, str]]:
    """(run_id, uid) of mails that are missing, the first ones."""
    with transaction(engine, is_reading=True) as connection:
        is_late = found.c.found_at < now_of(connection) - late_after
        missing = select(found.c.run_id, found.c.uid).where(
            and_(found.c.raw_id.is_not(None), is_late, not_(_IS_SETTLED))
        )
        rows = connection.execute(missing.order_by(found.c.run_id, found.c.uid).limit(limit)).all()
    return [(row.run_id, row.uid) for row in rows]
