"""What came on each day, by verdict, reason, domain, campaign and list.

Batches say which days they changed; a ledger counts those anew beside them. So a look at many days costs no more than the
rows that it shows, and what was judged anew is counted as it stands.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, delete, func, insert, literal, select, text

from shared.tables.ledger import changed_day, raw, report, tally
from shared.tables.transactions import now_of, transaction

MAIL: Final = "mail"
REASON: Final = "reason"
DOMAIN: Final = "domain"
CAMPAIGN: Final = "campaign"
LIST: Final = "list"
MOST_VALUES: Final = 100
"""Of each dimension and day: the most frequent."""
SHARE: Final = 20
"""At most one part in so many of a ledger's time is spent on counting."""
_DAYS: Final = 31
_MARKS: Final = 10_000


class Share(NamedTuple):
    """How many mails of a dimension's value got each verdict."""

    value: str
    hard: int
    soft: int
    unidentified: int
    other: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.hard + self.soft + self.unidentified + self.other


class DayTally(NamedTuple):
    """The mails of one day, in UTC."""

    day: date
    hard: int
    soft: int
    unidentified: int
    ignored: int


class SqlTallies:
    """Counts days anew, and tells what was counted."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._not_before = float("-inf")

    def recount_in_turn(self) -> int:
        """`recount`, unless the one before took so long that it is too early for another."""
        begun = self._clock()
        if begun < self._not_before:
            return 0
        counted = self.recount()
        ended = self._clock()
        self._not_before = ended + (ended - begun) * SHARE
        return counted

    def recount(self) -> int:
        """Count changed days anew, newest first; how many were looked at. Of two at once the second leaves them alone."""
        with transaction(self._engine, is_reading=True) as connection:
            marked = select(changed_day.c.day).distinct().order_by(changed_day.c.day.desc()).limit(_DAYS)
            days = list(connection.execute(marked).scalars())
        for day in days:
            with transaction(self._engine) as connection:
                _recount(connection, day)
        return len(days)

    def by_day(self, days: int) -> list[DayTally]:
        """Each of the last days, today's the last; also those without a mail."""
        with transaction(self._engine, is_reading=True) as connection:
            today = now_of(connection).date()
            first = today - timedelta(days=days - 1)
            counts = select(tally.c.day, tally.c.verdict, func.sum(tally.c.mails).label("mails"))
            counts = counts.where(tally.c.dimension == MAIL, tally.c.day >= first).group_by(
                tally.c.day, tally.c.verdict
            )
            found = {(row.day, row.verdict): row.mails for row in connection.execute(counts)}
        every = (first + timedelta(days=number) for number in range(days))
        return [
            DayTally(day, *(found.get((day, one), 0) for one in ("hard", "soft", "unidentified", "ignore")))
            for day in every
        ]

    def shares(self, dimension: str, days: int, most: int = 10) -> list[Share]:
        """The most frequent values of the last days."""

        def of(*verdicts: str) -> ColumnElement[int]:
            return func.coalesce(func.sum(tally.c.mails).filter(tally.c.verdict.in_(verdicts)), 0)

        named = ("hard", "soft", "unidentified")
        total = func.sum(tally.c.mails)
        with transaction(self._engine, is_reading=True) as connection:
            first = now_of(connection).date() - timedelta(days=days - 1)
            found = select(tally.c.value, *(of(one) for one in named), total)
            found = found.where(tally.c.dimension == dimension, tally.c.day >= first).group_by(tally.c.value)
            rows = connection.execute(found.order_by(total.desc(), tally.c.value).limit(most)).all()
        return [_share(row) for row in rows]


def changed_days(times: Sequence[datetime]) -> list[dict[str, Any]]:
    """Rows of `changed_day` for mails received at these times."""
    return [{"day": day} for day in sorted({time.astimezone(UTC).date() for time in times})]


def _share(row: Any) -> Share:
    value, hard, soft, unidentified, total = row
    return Share(value, hard, soft, unidentified, total - hard - soft - unidentified)


def _recount(connection: Connection, day: date) -> None:
    """What is marked while this runs stays marked: only the marks that were there before are taken off."""
    if connection.dialect.name == "postgresql":
        mine = text("SELECT pg_try_advisory_xact_lock(hashtext('mailroom.tallies'))")
        if not connection.execute(mine).scalar_one():
            return
    marks = select(changed_day.c.id).where(changed_day.c.day == day).order_by(changed_day.c.id).limit(_MARKS)
    taken = list(connection.execute(marks).scalars())
    if not taken:
        return
    connection.execute(delete(changed_day).where(changed_day.c.id.in_(taken)))
    connection.execute(delete(tally).where(tally.c.day == day))
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    of_day = and_(raw.c.received_at >= begin, raw.c.received_at < begin + timedelta(days=1))
    dimensions: dict[str, tuple[ColumnElement[Any], ColumnElement[Any], Select[Any]]] = {
        MAIL: (raw.c.kind, raw.c.verdict, select().select_from(raw).where(of_day)),
        CAMPAIGN: (raw.c.campaign, raw.c.verdict, select().select_from(raw).where(of_day)),
        LIST: (raw.c.list_id, raw.c.verdict, select().select_from(raw).where(of_day)),
        REASON: (report.c.reason, report.c.verdict, _reports(of_day)),
        DOMAIN: (_domain(connection), report.c.verdict, _reports(of_day)),
    }
    columns = ["day", "dimension", "value", "verdict", "mails"]
    for dimension, (value, verdict, source) in dimensions.items():
        counted = source.add_columns(value.label("value"), verdict.label("verdict"), func.count().label("mails"))
        counts = counted.where(value.is_not(None), value != "").group_by(value, verdict).cte(f"counts_of_{dimension}")
        total = func.sum(counts.c.mails)
        frequent = (
            select(counts.c.value).group_by(counts.c.value).order_by(total.desc(), counts.c.value).limit(MOST_VALUES)
        )
        kept = select(literal(day), literal(dimension), counts.c.value, counts.c.verdict, counts.c.mails)
        connection.execute(insert(tally).from_select(columns, kept.where(counts.c.value.in_(frequent))))


def _reports(of_day: ColumnElement[bool]) -> Select[Any]:
    return select().select_from(report).join(raw, raw.c.raw_id == report.c.raw_id).where(of_day)


def _domain(connection: Connection) -> ColumnElement[Any]:
    """What follows the last @: a quoted local part may hold another."""
    if connection.dialect.name == "postgresql":
        return func.substring(report.c.recipient, "[^@]*$")
    local = func.rtrim(report.c.recipient, func.replace(report.c.recipient, "@", ""))
    return func.substr(report.c.recipient, func.length(local) + 1)
