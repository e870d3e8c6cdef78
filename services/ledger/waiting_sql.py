"""What waits in the ledger's tables, for /metrics. Only reads; None where the database cannot be asked now."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine, func, select

from services.ledger.dead_letters_sql import DEAD
from shared.meters import REGISTRY, Readings, watch_on_scrape
from shared.tables.ledger import dead_letter, outbox
from shared.tables.schema import DatabaseUnreachable
from shared.tables.transactions import now_of, transaction


def outbox_rows(engine: Engine) -> Readings | None:
    """Changes that Redis or the broker may not have yet."""
    try:
        with transaction(engine, is_reading=True) as connection:
            return {(): connection.execute(select(func.count()).select_from(outbox)).scalar_one()}
    except DatabaseUnreachable:
        return None


def projection_lag_s(engine: Engine) -> Readings | None:
    """Since when the oldest of them waits."""
    try:
        with transaction(engine, is_reading=True) as connection:
            oldest = connection.execute(select(func.min(outbox.c.made_at))).scalar_one()
            lag = now_of(connection) - oldest if oldest is not None else timedelta()
    except DatabaseUnreachable:
        return None
    return {(): max(0.0, lag.total_seconds())}


def dead_letters(engine: Engine) -> Readings | None:
    """Letters that wait for a person, by the queue that they came from."""
    query = select(dead_letter.c.queue, func.count()).where(dead_letter.c.state == DEAD).group_by(dead_letter.c.queue)
    try:
        with transaction(engine, is_reading=True) as connection:
            return {(queue,): count for queue, count in connection.execute(query)}
    except DatabaseUnreachable:
        return None


@contextmanager
def watching(engine: Engine) -> Iterator[None]:
    """While the block lasts, /metrics shows what waits."""
    with ExitStack() as ending:
        for name, help_text, labels, read in (
            ("mailroom_outbox_rows", "Changes that Redis or the broker may not have yet", (), outbox_rows),
            ("mailroom_projection_lag_seconds", "Since when the oldest of them waits", (), projection_lag_s),
            ("mailroom_dead_letters", "Dead letters that wait for a person", ("queue",), dead_letters),
        ):
            watched = watch_on_scrape(name, help_text, labels, partial(read, engine))
            ending.callback(REGISTRY.unregister, watched)
        yield
