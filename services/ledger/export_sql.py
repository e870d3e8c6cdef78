"""All addresses in some states, page by page: as many as there are, with the memory of one page."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select

from services.ledger.policy import SUPPRESSED_BY_HAND, State
from services.ledger.suppressions_csv import Listed
from shared.tables.ledger import address, mark
from shared.tables.transactions import transaction

_PAGE: Final = 1000


class SqlExport:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, states: Collection[State]) -> int:
        """How many there are now."""
        chosen = select(func.count()).select_from(address).where(address.c.state.in_(list(states)))
        with transaction(self._engine, is_reading=True) as connection:
            return int(connection.execute(chosen).scalar_one())

    def pages(self, states: Collection[State]) -> Iterator[list[Listed]]:
        """In the order of the database; what changes meanwhile is told as it is when its page is read, and never twice."""
        chosen = select(address).where(address.c.state.in_(list(states))).order_by(address.c.recipient).limit(_PAGE)
        after = ""
        while True:
            with transaction(self._engine, is_reading=True) as connection:
                rows = connection.execute(chosen.where(address.c.recipient > after)).all()
                by_hand = [row.recipient for row in rows if row.reason == SUPPRESSED_BY_HAND]
                words = _latest_words(connection, by_hand)
            if rows:
                yield [_listed(row, words.get(row.recipient)) for row in rows]
            if len(rows) < _PAGE:
                return
            after = rows[-1].recipient


def _latest_words(connection: Connection, recipients: Sequence[str]) -> dict[str, Any]:
    made = select(mark).where(mark.c.recipient.in_(recipients)).order_by(mark.c.made_at)
    return {row.recipient: row for row in connection.execute(made)} if recipients else {}


def _listed(row: Any, word: Any | None) -> Listed:
    why, who = (word.why, word.who) if word is not None else (None, None)
    return Listed(row.recipient, State(row.state), row.reason, row.since, row.soft, row.hard, why, who)
