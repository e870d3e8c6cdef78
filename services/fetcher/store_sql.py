"""The checkpoint on PostgreSQL and SQLite: which mails are known, and what the ledger has of them.

Writes run, found and lease; only reads the ledger's tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Engine,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from services.fetcher.emptying import Judged
from services.fetcher.ports import FoundMail, Listed, Place, RecordedMail
from shared.tables.fetcher import found, lease, run
from shared.tables.ledger import DROPPED, archive, dead_letter, hold, is_delivered, is_kept_out, raw
from shared.tables.transactions import answers, insert, transaction

TRIES: Final = 3
_CHUNK: Final = 1_000
_ERROR_LIMIT: Final = 1_000
_REPLAYED: Final = "replayed"


class SqlCheckpoint:
    """Every method is one transaction, and raises DatabaseUnreachable when waiting may help."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin_run(self, run_id: str, account: str, now: datetime) -> None:
        """Begin a run, or go on with one; its last error is forgotten."""
        row = {"run_id": run_id, "account": account, "started_at": now}
        with transaction(self._engine) as connection:
            again = insert(connection, run).values(row)
            connection.execute(again.on_conflict_do_update(index_elements=[run.c.run_id], set_={"last_error": None}))

    def note_error(self, run_id: str, error: str) -> None:
        """Remember for people why a pass ended early."""
        self._update_run(run_id, last_error=error[:_ERROR_LIMIT].replace("\x00", ""))

    def mark_fetched(self, run_id: str, now: datetime) -> None:
        """Its last slice was fetched."""
        self._update_run(run_id, fetched_at=now)

    def mark_finished(self, run_id: str, now: datetime) -> None:
        """Its last cleaning ended."""
        self._update_run(run_id, finished_at=now)

    def forget_other_uidvalidities(self, place: Place) -> int:
        """How many rows there were."""
        others = and_(
            found.c.account == place.account,
            found.c.folder == place.folder,
            found.c.uidvalidity != place.uidvalidity,
        )
        with transaction(self._engine) as connection:
            return connection.execute(delete(found).where(others)).rowcount

    def forget_unlisted(self, place: Place, listed: set[str], run_id: str) -> None:
        """Drop the rows whose mail is no longer listed, but none of that run under a `nameless_uid`."""
        with transaction(self._engine) as connection:
            known = select(found.c.id, found.c.uid, found.c.run_id).where(_at(place))
            rows = connection.execute(known.execution_options(yield_per=_CHUNK))
            gone = [
                row.id for row in rows if row.uid not in listed and not (row.run_id == run_id and row.uid[0] == "=")
            ]
            for chunk in _chunks(gone):
                connection.execute(delete(found).where(found.c.id.in_(chunk)))

    def is_dropped(self, run_id: str) -> bool:
        """Whether a person dropped it."""
        dropped = exists().where(hold.c.run_id == run_id, hold.c.state == DROPPED)
        with transaction(self._engine, is_reading=True) as connection:
            return bool(connection.execute(select(dropped)).scalar_one())

    def is_dropped_one_at_work(self, account: str) -> bool:
        """Whether a run of that account was dropped and has not ended yet."""
        dropped = hold.c.run_id == run.c.run_id, hold.c.state == DROPPED
        unended = exists().where(run.c.account == account, run.c.finished_at.is_(None), *dropped)
        with transaction(self._engine, is_reading=True) as connection:
            return bool(connection.execute(select(unended)).scalar_one())

    def forget_dropped(self, account: str) -> None:
        """Drop the rows of runs that were dropped: their mails are to be found again, as if for the first time."""
        dropped = exists().where(hold.c.run_id == found.c.run_id, hold.c.state == DROPPED)
        with transaction(self._engine) as connection:
            connection.execute(delete(found).where(found.c.account == account, dropped))

    def unknown(self, place: Place, mails: Sequence[Listed]) -> list[Listed]:
        """Those that were neither fetched nor given up, in the same order."""
        is_known = or_(found.c.raw_id.is_not(None), found.c.attempts >= TRIES)
        known: set[str] = set()
        with transaction(self._engine, is_reading=True) as connection:
            for chunk in _chunks([mail.uid for mail in mails]):
                query = select(found.c.uid).where(_at(place), found.c.uid.in_(chunk), is_known)
                known.update(connection.execute(query).scalars())
        return [mail for mail in mails if mail.uid not in known]

    def published_by(self, run_id: str, raw_ids: Sequence[str]) -> set[str]:
        """Those that this run has published already."""
        with transaction(self._engine, is_reading=True) as connection:
            query = select(found.c.raw_id).where(found.c.run_id == run_id, found.c.raw_id.in_(raw_ids))
            return {name for name in connection.execute(query).scalars() if name}

    def add(self, place: Place, run_id: str, mails: Sequence[FoundMail], now: datetime) -> None:
        """Remember mails whose publishing was confirmed. A mail that another fetcher added first stays as it is."""
        rows = [
            _row(place, run_id, mail.uid, mail.size_bytes, now)
            | {"raw_id": mail.raw_id, "truncated": mail.truncated, "attempts": 0}
            for mail in mails
        ]
        if not rows:
            return
        with transaction(self._engine) as connection:
            statement = insert(connection, found)
            new = statement.excluded
            again = statement.on_conflict_do_update(
                index_elements=["account", "folder", "uidvalidity", "uid"],
                set_={
                    "raw_id": new.raw_id,
                    "run_id": new.run_id,
                    "found_at": new.found_at,
                    "truncated": new.truncated,
                    "last_error": None,
                },
                where=found.c.raw_id.is_(None),
            )
            connection.execute(again, rows)  # executemany: a statement of 500 rows takes longer to compile than to run

    def count_failure(self, place: Place, run_id: str, mail: Listed, error: str, now: datetime) -> int:
        """In how many runs this mail could not be read by now: the slices of one are one try."""
        text = error[:_ERROR_LIMIT].replace("\x00", "")
        row = _row(place, run_id, mail.uid, mail.size_bytes, now)
        row |= {"truncated": False, "attempts": 1, "last_error": text}
        with transaction(self._engine) as connection:
            statement = insert(connection, found).values(row)
            again = statement.on_conflict_do_update(
                index_elements=["account", "folder", "uidvalidity", "uid"],
                set_={
                    "attempts": found.c.attempts + case((found.c.run_id == run_id, 0), else_=1),
                    "run_id": run_id,
                    "last_error": text,
                },
            )
            return int(connection.execute(again.returning(found.c.attempts)).scalar_one())

    def recorded(self, account: str, folder: str) -> list[RecordedMail]:
        """The mails fetched from there that are recorded, archived, not cleaned yet, and of no run that is kept out."""
        query = (
            select(
                found.c.uidvalidity,
                found.c.uid,
                raw.c.kind,
                raw.c.verdict,
                or_(found.c.truncated, raw.c.truncated).label("truncated"),
            )
            .join(raw, raw.c.raw_id == found.c.raw_id)
            .join(archive, archive.c.raw_id == found.c.raw_id)
            .where(
                found.c.account == account,
                found.c.folder == folder,
                found.c.cleaned_at.is_(None),
                ~is_kept_out(found.c.run_id),
            )
            .order_by(found.c.id)
        )
        with transaction(self._engine, is_reading=True) as connection:
            return [
                RecordedMail(row.uidvalidity, row.uid, Judged(row.kind, row.verdict, row.truncated))
                for row in connection.execute(query)
            ]

    def judged(self, raw_ids: Sequence[str]) -> Mapping[str, Judged]:
        """The judgements of those that are recorded and archived, and were not delivered by held runs alone."""
        judged: dict[str, Judged] = {}
        with transaction(self._engine, is_reading=True) as connection:
            for chunk in _chunks(raw_ids):
                query = (
                    select(raw.c.raw_id, raw.c.kind, raw.c.verdict, raw.c.truncated)
                    .join(archive, archive.c.raw_id == raw.c.raw_id)
                    .where(raw.c.raw_id.in_(chunk), is_delivered())
                )
                for row in connection.execute(query):
                    judged[row.raw_id] = Judged(row.kind, row.verdict, row.truncated)
        return judged

    def mark_cleaned(self, place: Place, uids: Sequence[str], now: datetime) -> None:
        """They were deleted or moved."""
        with transaction(self._engine) as connection:
            for chunk in _chunks(uids):
                connection.execute(
                    update(found).where(_at(place), found.c.uid.in_(chunk)).values(cleaned_at=bindparam("now")),
                    {"now": now},
                )

    def waiting(self, run_id: str) -> int:
        """How many mails of the run are neither recorded and archived nor dead-lettered."""
        name = found.c.raw_id
        is_recorded = and_(exists().where(raw.c.raw_id == name), exists().where(archive.c.raw_id == name))
        is_dead = exists().where(dead_letter.c.raw_id == name, dead_letter.c.state != _REPLAYED)
        query = (
            select(func.count())
            .select_from(found)
            .where(found.c.run_id == run_id, name.is_not(None), ~is_recorded, ~is_dead)
        )
        with transaction(self._engine, is_reading=True) as connection:
            return int(connection.execute(query).scalar_one())

    def take_lease(self, account: str, holder: str, now: datetime, until: datetime) -> datetime | None:
        """None when the lease is the holder's now (also when it was already); else until when another has it."""
        row = {"account": account, "holder": holder, "until": until}
        with transaction(self._engine) as connection:
            taken = insert(connection, lease).values(row)
            connection.execute(
                taken.on_conflict_do_update(
                    index_elements=[lease.c.account],
                    set_={"holder": holder, "until": until},
                    where=or_(lease.c.holder == holder, lease.c.until <= now),
                )
            )
            standing = connection.execute(select(lease).where(lease.c.account == account)).one()
            held_until: datetime = standing.until
            return None if standing.holder == holder else held_until

    def release_lease(self, account: str, holder: str) -> None:
        """Give it back, if it is the holder's."""
        with transaction(self._engine) as connection:
            connection.execute(delete(lease).where(lease.c.account == account, lease.c.holder == holder))

    def answers(self) -> bool:
        """Whether the database is there now."""
        return answers(self._engine)

    def _update_run(self, run_id: str, **values: Any) -> None:
        with transaction(self._engine) as connection:
            connection.execute(update(run).where(run.c.run_id == run_id).values(**values))


def _at(place: Place) -> ColumnElement[bool]:
    return and_(
        found.c.account == place.account, found.c.folder == place.folder, found.c.uidvalidity == place.uidvalidity
    )


def _row(place: Place, run_id: str, uid: str, size_bytes: int, now: datetime) -> dict[str, Any]:
    return {
        "account": place.account,
        "folder": place.folder,
        "uidvalidity": place.uidvalidity,
        "uid": uid,
        "run_id": run_id,
        "found_at": now,
        "size_bytes": size_bytes,
    }


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(rows), _CHUNK):
        yield rows[first : first + _CHUNK]
