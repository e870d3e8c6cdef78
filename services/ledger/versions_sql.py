"""The versions of addresses: one ascending number for the whole database."""

from sqlalchemy import Connection, select, text, update

from shared.tables.ledger import projection


def draw_versions(connection: Connection, count: int) -> list[int]:
    """That many new versions, ascending, greater than any drawn by a transaction that held the same address before."""
    if connection.dialect.name == "postgresql":
        drawn = text("SELECT nextval('address_version') FROM generate_series(1, :count)")
        return sorted(connection.execute(drawn, {"count": count}).scalars())
    bumped = update(projection).values(last_version=projection.c.last_version + count)
    last: int = connection.execute(bumped.returning(projection.c.last_version)).scalar_one()
    return list(range(last - count + 1, last + 1))


def last_version(connection: Connection) -> int:
    """The greatest version drawn so far."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT last_value FROM address_version")).scalar_one())
    return int(connection.execute(select(projection.c.last_version)).scalar_one())
