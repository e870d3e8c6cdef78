"""What two databases, or a database and Redis, are compared by."""

from typing import Any

import redis
from sqlalchemy import Engine, Table, select

from services.ledger.projection_redis import RedisProjection
from shared.suppressions import SUPPRESSED_KEY
from shared.tables import ledger


def folded_state(engine: Engine) -> dict[str, set[tuple[Any, ...]]]:
    """Everything that must not depend on order, copies or workers: so no versions, row times and runs."""
    return {
        "addresses": _rows(engine, ledger.address, leave_out={"version", "changed_at"}),
        "reports": _rows(engine, ledger.report),
        "mails": _rows(engine, ledger.raw, leave_out={"judged_at"}),
    }


def _rows(engine: Engine, table: Table, leave_out: frozenset[str] | set[str] = frozenset()) -> set[tuple[Any, ...]]:
    columns = [column for column in table.c if column.name not in leave_out]
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(select(*columns))}


def projected_from(engine: Engine) -> tuple[dict[str, str], set[str]]:
    """What Redis should hold: version, soft count and state by address; and who must not be mailed."""
    with engine.connect() as connection:
        rows = connection.execute(select(ledger.address).where(ledger.address.c.version > 0)).all()
    return (
        {row.recipient: f"{row.version} {row.soft} {row.state}" for row in rows},
        {row.recipient for row in rows if row.state != "ok"},
    )


def projected_in(client: redis.Redis) -> tuple[dict[str, str], set[str]]:
    """What Redis holds."""
    projection = RedisProjection(client)
    entries = [one.entry for names in projection.recipients() for one in projection.read(names) if one.entry]
    return {one.recipient: f"{one.version} {one.soft} {one.state}" for one in entries}, client.smembers(SUPPRESSED_KEY)
