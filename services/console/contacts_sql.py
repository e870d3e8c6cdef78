"""The contacts of lists: added by the thousand, and read a page at a time, however many there are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Engine, Select, func, select, update

from services.fetcher.lists_sql import UnknownList
from services.ledger.bulk_sql import insert_new
from services.ledger.policy import State
from shared.tables.auditing import note
from shared.tables.contacts import contact
from shared.tables.fetcher import contact_list
from shared.tables.ledger import address
from shared.tables.transactions import now_of, transaction

BATCH: Final = 5_000
LOOKED_THROUGH: Final = 20_000
"""A page of those that bounced looks at so many contacts at the most; the next page goes on there."""


class Contact(NamedTuple):
    """One of a list, and how it stands everywhere."""

    recipient: str
    state: str = State.OK
    reason: str | None = None
    since: datetime | None = None

    @property
    def is_suppressed(self) -> bool:
        """It must not be mailed."""
        return self.state != State.OK


@dataclass(frozen=True, slots=True)
class Bounced:
    """Some of those that must not be mailed."""

    contacts: Sequence[Contact]
    after: str | None
    """Where the next page begins; None when all contacts were looked at."""


@dataclass(slots=True)
class Added:
    """What became of an import."""

    added: int = 0
    already: int = 0


class SqlContacts:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, list_id: str) -> int:
        """How many there are; it is kept, not counted. Raises UnknownList."""
        with transaction(self._engine, is_reading=True) as connection:
            found = connection.execute(
                select(contact_list.c.contacts).where(contact_list.c.list_id == list_id)
            ).scalar()
        if found is None:
            raise UnknownList(f"there is no list {list_id!r}")
        return int(found)

    def add(self, list_id: str, recipients: Iterable[str], who: str) -> Iterator[Added]:
        """Normalised addresses, a batch a transaction; what was added so far, after each. Raises UnknownList.

        At the end, also an early one, the audit is told.
        """
        so_far = Added()
        stream = iter(recipients)
        try:
            while batch := list(dict.fromkeys(islice(stream, BATCH))):
                new = self._add(list_id, batch)
                so_far.added += new
                so_far.already += len(batch) - new
                yield so_far
        finally:
            if so_far.added:
                with transaction(self._engine) as connection:
                    note(connection, who, "contacts-import", list_id, f"{so_far.added:,} added")

    def _add(self, list_id: str, batch: Sequence[str]) -> int:
        with transaction(self._engine) as connection:
            is_it = contact_list.c.list_id == list_id
            if connection.execute(select(contact_list.c.list_id).where(is_it).with_for_update()).first() is None:
                raise UnknownList(f"there is no list {list_id!r}")
            now = now_of(connection)
            rows = [{"list_id": list_id, "recipient": one, "added_at": now} for one in sorted(batch)]
            new = len(insert_new(connection, contact, rows, contact.c.recipient))
            connection.execute(update(contact_list).where(is_it).values(contacts=contact_list.c.contacts + new))
        return new

    def page(self, list_id: str, after: str, size: int) -> list[Contact]:
        """So many after that address, in the database's order."""
        some = _after(list_id, after).limit(size).subquery()
        chosen = select(
            some.c.recipient, func.coalesce(address.c.state, State.OK.value), address.c.reason, address.c.since
        )
        chosen = chosen.outerjoin(address, address.c.recipient == some.c.recipient).order_by(some.c.recipient)
        with transaction(self._engine, is_reading=True) as connection:
            return [Contact(*row) for row in connection.execute(chosen)]

    def bounced(self, list_id: str, after: str, size: int) -> Bounced:
        """Up to so many after that address that must not be mailed."""
        some = _after(list_id, after).limit(LOOKED_THROUGH).subquery()
        chosen = select(some.c.recipient, address.c.state, address.c.reason, address.c.since)
        chosen = chosen.join(address, address.c.recipient == some.c.recipient).where(address.c.state != State.OK.value)
        chosen = chosen.order_by(some.c.recipient).limit(size)
        reached = select(func.count(), func.max(some.c.recipient)).select_from(some)
        with transaction(self._engine, is_reading=True) as connection:
            found = [Contact(*row) for row in connection.execute(chosen)]
            if len(found) == size:
                return Bounced(found, found[-1].recipient)
            looked, last = connection.execute(reached).one()
        return Bounced(found, last if looked == LOOKED_THROUGH else None)

    def all(self, list_id: str, *, only_bounced: bool = False) -> Iterator[Sequence[Contact]]:
        """Every contact, a page at a time."""
        after: str | None = ""
        while after is not None:
            if only_bounced:
                found = self.bounced(list_id, after, BATCH)
                rows, after = found.contacts, found.after
            else:
                rows = self.page(list_id, after, BATCH)
                after = rows[-1].recipient if len(rows) == BATCH else None
            yield rows


def _after(list_id: str, after: str) -> Select[tuple[str]]:
    return (
        select(contact.c.recipient)
        .where(contact.c.list_id == list_id, contact.c.recipient > after)
        .order_by(contact.c.recipient)
    )
