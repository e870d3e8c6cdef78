"""What the ledger already knows of a mail, by its raw_id."""

from collections.abc import Sequence

from sqlalchemy import Engine, and_, exists, select

from shared.tables.ledger import hold, raw, raw_run
from shared.tables.transactions import transaction


class SqlRecorded:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def delivered(self, raw_ids: Sequence[str]) -> set[str]:
        """Those that were delivered before, by a publisher or by a run that was neither held nor dropped."""
        is_held = exists().where(and_(hold.c.run_id == raw_run.c.run_id, hold.c.state.in_(("held", "dropped"))))
        with transaction(self._engine, is_reading=True) as connection:
            known = select(raw_run.c.raw_id).where(raw_run.c.raw_id.in_(raw_ids), ~is_held).distinct()
            return set(connection.execute(known).scalars())

    def verdicts(self, raw_ids: Sequence[str]) -> dict[str, str]:
        """The message verdict of those that have one."""
        with transaction(self._engine, is_reading=True) as connection:
            judged = select(raw.c.raw_id, raw.c.verdict).where(raw.c.raw_id.in_(raw_ids))
            return {row.raw_id: row.verdict for row in connection.execute(judged)}
