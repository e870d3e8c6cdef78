"""What the ledger already knows of a mail, by its raw_id."""

from collections.abc import Sequence

from sqlalchemy import Engine, select

from shared.tables.ledger import is_delivered, raw
from shared.tables.transactions import transaction


class SqlRecorded:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delivered(self, raw_ids: Sequence[str]) -> set[str]:
        """Those that were delivered before, by a publisher or by a run that was neither held nor dropped."""
        with transaction(self._engine, is_reading=True) as connection:
            known = select(raw.c.raw_id).where(raw.c.raw_id.in_(raw_ids), is_delivered())
            return set(connection.execute(known).scalars())

    def verdicts(self, raw_ids: Sequence[str]) -> dict[str, str]:
        """The message verdict of those that have one."""
        with transaction(self._engine, is_reading=True) as connection:
            judged = select(raw.c.raw_id, raw.c.verdict).where(raw.c.raw_id.in_(raw_ids))
            return {row.raw_id: row.verdict for row in connection.execute(judged)}
