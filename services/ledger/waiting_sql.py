"""What waits in the ledger's tables, for /metrics. Only reads; None where the database cannot be asked now."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sqlalchemy import Connection, Engine, func, select

from services.ledger.dead_letters_sql import DEAD
from shared.meters import REGISTRY, Readings, watch_on_scrape
from shared.tables.ledger import dead_letter, outbox
from shared.tables.schema import DatabaseUnreachable
from shared.tables.transactions import now_of, transaction


def outbox_rows(connection: Connection) -> Readings:
    """Changes that Redis or the broker may not have yet."""
    return {(): connection.execute(select(func.count()).select_from(outbox)).scalar_one()}


def projection_lag_s(connection: Connection) -> Readings:
    """Since when the oldest of them waits."""
    oldest = connection.execute(select(func.min(outbox.c.made_at))).scalar_one()
    return {(): max(0.0, (now_of(connection) - oldest).total_seconds()) if oldest is not None else 0.0}


def dead_letters(connection: Connection) -> Readings:
    """Letters that wait for a person, by the queue that they came from."""
    query = select(dead_letter.c.queue, func.count()).where(dead_letter.c.state == DEAD).group_by(dead_letter.c.queue)
    return {(queue,): count for queue, count in connection.execute(query)}


def _read(engine: Engine, reading: Callable[[Connection], Readings]) -> Readings | None:
    try:
        with transaction(engine, is_reading=True) as connection:
            return reading(connection)
    except DatabaseUnreachable:
        return None


@contextmanager
def watching(engine: Engine) -> Iterator[None]:
    """While the block lasts, /metrics shows what waits."""
    with ExitStack() as ending:
        for name, help_text, labels, reading in (
            ("mailroom_outbox_rows", "Changes that Redis or the broker may not have yet", (), outbox_rows),
            ("mailroom_projection_lag_seconds", "Since when the oldest of them waits", (), projection_lag_s),
            ("mailroom_dead_letters", "Dead letters that wait for a person", ("queue",), dead_letters),
        ):
            watched = watch_on_scrape(name, help_text, labels, partial(_read, engine, reading))
            ending.callback(REGISTRY.unregister, watched)
        yield
