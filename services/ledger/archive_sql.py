"""The mails themselves, compressed, for as long as a deployment keeps them."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Engine, exists, or_, select, update

from services.ledger.ports import ArchivedMail
from shared.tables.ledger import HELD, archive, hold, raw, raw_run
from shared.tables.transactions import insert, now_of, transaction

PURGE_PAGE: Final = 1_000


class SqlArchive:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, mails: Sequence[ArchivedMail]) -> None:
        """A mail that is there already stays as it is; one that was purged, and comes again, is kept anew."""
        if not mails:
            return
        compressed = [(mail, zlib.compress(mail.raw, 6)) for mail in sorted(mails, key=lambda mail: mail.raw_id)]
        with transaction(self._engine) as connection:
            now = now_of(connection)
            rows = [
                {
                    "raw_id": mail.raw_id,
                    "archived_at": now,
                    "size_bytes": len(mail.raw),
                    "truncated": mail.truncated,
                    "body": body,
                }
                for mail, body in compressed
            ]
            given = insert(connection, archive)
            anew = given.on_conflict_do_update(
                index_elements=[archive.c.raw_id],
                set_={"body": given.excluded.body, "archived_at": given.excluded.archived_at},
                where=archive.c.body.is_(None),
            )
            connection.execute(anew, rows)

    def read(self, raw_id: str) -> bytes | None:
        """The mail; None when it was never here or has been purged."""
        with transaction(self._engine, is_reading=True) as connection:
            body = connection.execute(select(archive.c.body).where(archive.c.raw_id == raw_id)).scalar_one_or_none()
        return zlib.decompress(body) if body is not None else None

    def matching(self, beginning: str) -> list[str]:
        """The raw ids that begin so, two at most; also of mails that were purged."""
        begins = archive.c.raw_id.startswith(beginning, autoescape=True)
        with transaction(self._engine, is_reading=True) as connection:
            return list(connection.execute(select(archive.c.raw_id).where(begins).limit(2)).scalars())

    def purge(self, older_than: timedelta) -> Iterator[int]:
        """Drop the bytes of mails that were archived longer ago; how many, after each transaction that did.

        Their rows stay: that a mail was kept is what lets it leave a mailbox. What a held run brought waits for a person, who
        may want to look at it. Safe beside others that do the same.
        """
        with transaction(self._engine, is_reading=True) as connection:
            until = now_of(connection) - older_than
        while True:
            with transaction(self._engine) as connection:
                old = select(archive.c.raw_id).where(archive.c.archived_at < until, archive.c.body.is_not(None))
                old = old.where(~_waits_for_a_person())
                some = old.order_by(archive.c.archived_at).limit(PURGE_PAGE).with_for_update(skip_locked=True)
                emptied = update(archive).where(archive.c.raw_id.in_(some.scalar_subquery())).values(body=None)
                purged = connection.execute(emptied).rowcount
            if not purged:
                return
            yield purged


def _waits_for_a_person() -> ColumnElement[bool]:
    first = exists().where(raw.c.raw_id == archive.c.raw_id, hold.c.run_id == raw.c.run_id, hold.c.state == HELD)
    again = exists().where(
        raw_run.c.raw_id == archive.c.raw_id, hold.c.run_id == raw_run.c.run_id, hold.c.state == HELD
    )
    return or_(first, again)
