"""What people look through: mails that nobody recognised, one mail in full, and who changed what by hand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, and_, exists, or_, select

from services.ledger.policy import State
from shared.tables.ledger import address, archive, audit, raw, report
from shared.tables.transactions import transaction

UNIDENTIFIED: Final = "unidentified"
UNKNOWN: Final[Mapping[str, Any]] = {"state": State.OK.value, "soft": 0, "reason": None, "since": None}
"""How an address stands that nothing is known of."""


class Unrecognised(NamedTuple):
    """A mail that is a bounce of which nobody can tell the reason, with what was looked at."""

    raw_id: str
    received_at: datetime
    account: str | None
    list_id: str | None
    reporting_mta: str | None
    recipient: str | None
    diagnostic_code: str | None
    evidence: str | None


class Mail(NamedTuple):
    """What the ledger has of one mail."""

    mail: Mapping[str, Any]
    """The row of `raw`."""
    reports: list[Mapping[str, Any]]
    """Rows of `report`, by recipient."""


class Done(NamedTuple):
    """What somebody did by hand."""

    id: int
    made_at: datetime
    who: str
    what: str
    subject: str
    why: str


class SqlLooking:
    """Raises DatabaseUnreachable from every method; each reads no more than a page."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def standings(self, addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
        """State, soft bounces, reason and since when, of those normalised addresses that anything is known of."""
        columns = (address.c.state, address.c.soft, address.c.reason, address.c.since)
        chosen = select(address.c.recipient, *columns).where(address.c.recipient.in_(addresses))
        with transaction(self._engine, is_reading=True) as connection:
            rows = connection.execute(chosen).all()
        return {
            row.recipient: {"state": row.state, "soft": row.soft, "reason": row.reason, "since": row.since}
            for row in rows
        }

    def unidentified(self, after: tuple[datetime, str] | None, size: int) -> list[Unrecognised]:
        """So many, the newest first, after that (received_at, raw_id)."""
        mails = select(raw.c.raw_id, raw.c.received_at, raw.c.account, raw.c.list_id, raw.c.reporting_mta)
        mails = mails.where(raw.c.verdict == UNIDENTIFIED)
        if after is not None:
            at, raw_id = after
            same = and_(raw.c.received_at == at, raw.c.raw_id < raw_id)
            mails = mails.where(raw.c.received_at <= at, or_(raw.c.received_at < at, same))
        page = mails.order_by(raw.c.received_at.desc(), raw.c.raw_id.desc()).limit(size).subquery()
        said = select(page, report.c.recipient, report.c.diagnostic_code, report.c.evidence)
        said = said.outerjoin(report, report.c.raw_id == page.c.raw_id)
        with transaction(self._engine, is_reading=True) as connection:
            rows = connection.execute(said.order_by(page.c.received_at.desc(), page.c.raw_id.desc())).all()
        first = {row.raw_id: Unrecognised(*row) for row in reversed(rows)}
        return list(dict.fromkeys(first[row.raw_id] for row in rows))

    def mail(self, raw_id: str) -> Mail | None:
        """One mail; None when the ledger has none of that raw_id."""
        with transaction(self._engine, is_reading=True) as connection:
            found = connection.execute(select(raw).where(raw.c.raw_id == raw_id)).mappings().one_or_none()
            if found is None:
                return None
            said = select(report).where(report.c.raw_id == raw_id).order_by(report.c.recipient).limit(1000)
            return Mail(dict(found), [dict(row) for row in connection.execute(said).mappings()])

    def is_known(self, raw_id: str) -> bool:
        """Whether `mail` has it, or the archive."""
        known = exists().where(raw.c.raw_id == raw_id) | exists().where(archive.c.raw_id == raw_id)
        with transaction(self._engine, is_reading=True) as connection:
            return bool(connection.execute(select(known)).scalar_one())

    def done(self, after: int | None, size: int, subject: str = "") -> list[Done]:
        """So many, the newest first, below that id; with `subject` only what was done to that."""
        chosen = select(*(audit.c[name] for name in Done._fields))
        if subject:
            chosen = chosen.where(audit.c.subject == subject)
        if after is not None:
            chosen = chosen.where(audit.c.id < after)
        with transaction(self._engine, is_reading=True) as connection:
            return [Done(*row) for row in connection.execute(chosen.order_by(audit.c.id.desc()).limit(size))]
