"""Comparing what senders read with the database, while traffic runs: only what cannot be on its way is different.

A change is committed, then told to Redis, then taken out of the outbox. So in a database read first and a Redis read
afterwards, Redis is never behind an address that the outbox no longer holds. Redis may be ahead of what was read; then
the database is read again, and has to have caught up with what was seen.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import Engine, exists, func, select

from services.ledger.bulk_sql import among
from services.ledger.projection_redis import Entry, Projected, RedisProjection
from services.ledger.upkeep import pages, rebuild
from services.ledger.versions_sql import last_version
from shared.errors import Transient
from shared.tables.ledger import address, outbox, projection
from shared.tables.transactions import transaction

EXAMPLES: Final = 100
_PAGE: Final = 2000
_LOOKS: Final = 5
_ATTEMPTS: Final = 3


class Kind(StrEnum):
    """How Redis differs."""

    BEHIND = "behind"
    """Redis has an older version, or none."""
    AHEAD = "ahead"
    """Redis has a version that the database never drew for it, or an address that it does not know."""
    OTHER = "other state"
    """The same version with another state or count; or the set that senders ask says something else."""
    EPOCH = "epoch"
    READY = "ready"
    HIGH = "high"


class ProjectionInMotion(Transient):
    """Redis was being filled anew all the time."""


@dataclass(slots=True)
class Comparison:
    """What was compared, and what differs."""

    compared: int = 0
    """Addresses of the database."""
    waiting: int = 0
    """Changes that Redis does not have yet, and the outbox remembers."""
    counts: Counter[Kind] = field(default_factory=Counter)
    examples: dict[str, Kind] = field(default_factory=dict)
    """Some addresses, with what is wrong with each."""
    mended: int = 0

    @property
    def different(self) -> int:
        """Addresses, and marks of the whole, that are not as they should be."""
        return self.counts.total()

    def found(self, kind: Kind, recipient: str) -> None:
        """Count it, and remember the first ones."""
        self.counts[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples[recipient] = kind


@dataclass(frozen=True, slots=True)
class _Recorded:
    """An address in the database."""

    entry: Entry
    is_waiting: bool


def compare_projection(
    engine: Engine,
    redis_projection: RedisProjection,
    *,
    mends: bool = False,
    progress: Callable[[int], None] = lambda more: None,
) -> Comparison:
    """Every address of the database and of Redis; with `mends`, what is found is rewritten.

    What is merely behind is written as by any ledger; anything else takes a rebuild, since Redis accepts no lesser version.
    Raises ProjectionUnreachable, DatabaseUnreachable, and ProjectionInMotion when rebuilds come in between every time.
    """
    for _ in range(_ATTEMPTS):
        result = Comparison()
        epoch = _compare_marks(engine, redis_projection, result)
        if result.counts[Kind.EPOCH] or result.counts[Kind.READY]:
            behind = 0
            break  # nobody reads it as it is: a rebuild is due, or under way
        behind = _compare_addresses(engine, redis_projection, epoch, result, mends, progress)
        if _epoch(engine) == epoch:
            break
    else:
        raise ProjectionInMotion("Redis is being filled anew: try again when that is done")
    if mends and result.different > behind and rebuild(engine, redis_projection, is_forced=True):
        result.mended = result.different
    return result


def count_addresses(engine: Engine) -> int:
    """How many there are to compare."""
    with transaction(engine, is_reading=True) as connection:
        count: int = connection.execute(select(func.count()).where(address.c.version > 0)).scalar_one()
        return count


def _compare_marks(engine: Engine, redis_projection: RedisProjection, result: Comparison) -> int:
    """The epoch of the database. `high` is read before the sequence, which only grows."""
    state = redis_projection.state()
    with transaction(engine, is_reading=True) as connection:
        epoch: int = connection.execute(select(projection.c.epoch)).scalar_one()
        last = last_version(connection)
    for kind, is_wrong in (
        (Kind.EPOCH, state.epoch != epoch),
        (Kind.READY, not state.is_ready),
        (Kind.HIGH, state.high > last),
    ):
        if is_wrong:
            result.counts[kind] += 1
    return epoch


def _epoch(engine: Engine) -> int:
    with transaction(engine, is_reading=True) as connection:
        epoch: int = connection.execute(select(projection.c.epoch)).scalar_one()
        return epoch


def _compare_addresses(
    engine: Engine,
    redis_projection: RedisProjection,
    epoch: int,
    result: Comparison,
    mends: bool,
    progress: Callable[[int], None],
) -> int:
    """How many differences were mended by writing them."""
    mended = 0
    for suspects, size in _suspects(engine, redis_projection):
        result.compared += size
        behind = _look_closely(engine, redis_projection, suspects, result)
        if mends and behind and redis_projection.write_entries(epoch, behind):
            mended += len(behind)
        progress(size)
    result.mended = mended
    return mended


def _suspects(engine: Engine, redis_projection: RedisProjection) -> Iterator[tuple[list[str], int]]:
    """Addresses that looked different at a first glance; and how many of the database were looked at for them."""
    for page in pages(engine, _PAGE):
        found = redis_projection.read([entry.recipient for entry in page])
        pairs = zip(page, found, strict=True)
        yield [entry.recipient for entry, one in pairs if not _is_equal(entry, one)], len(page)
    for names in redis_projection.recipients():
        with transaction(engine, is_reading=True) as connection:
            is_known = address.c.version > 0
            known = select(address.c.recipient).where(among(connection, address.c.recipient, names), is_known)
            yield sorted(set(names).difference(connection.execute(known).scalars())), 0


def _look_closely(
    engine: Engine, redis_projection: RedisProjection, suspects: Sequence[str], result: Comparison
) -> list[Entry]:
    """Look again until each suspect is equal, on its way or different; those that are merely behind, as they should be."""
    behind: list[Entry] = []
    seen: dict[str, int] = {}
    for look in range(_LOOKS):
        if not suspects:
            break
        recorded = _read_recorded(engine, suspects)
        found = dict(zip(suspects, redis_projection.read(suspects), strict=True))
        again = []
        for recipient in suspects:
            known, projected = recorded.get(recipient), found[recipient]
            version = known.entry.version if known else 0
            if (known and _is_equal(known.entry, projected)) or (not known and projected == Projected(None, False)):
                continue
            if version < seen.get(recipient, 0):
                result.found(Kind.AHEAD, recipient)
            elif projected.version > version and look < _LOOKS - 1:
                seen[recipient] = projected.version
                again.append(recipient)
            elif known and projected.version < version:
                if known.is_waiting:
                    result.waiting += 1
                else:
                    result.found(Kind.BEHIND, recipient)
                    behind.append(known.entry)
            elif projected.version == version:
                result.found(Kind.OTHER, recipient)
        suspects = again
    return behind


def _is_equal(entry: Entry, projected: Projected) -> bool:
    return projected.entry == entry and projected.is_consistent


def _read_recorded(engine: Engine, recipients: Sequence[str]) -> Mapping[str, _Recorded]:
    """The addresses and their outbox in one statement: a change that is not in it was told before."""
    is_waiting = exists().where(outbox.c.recipient == address.c.recipient)
    columns = (address.c.recipient, address.c.version, address.c.soft, address.c.state, is_waiting)
    with transaction(engine, is_reading=True) as connection:
        chosen = select(*columns).where(among(connection, address.c.recipient, recipients), address.c.version > 0)
        rows = connection.execute(chosen).all()
    return {row[0]: _Recorded(Entry(*row[:4]), row[4]) for row in rows}
