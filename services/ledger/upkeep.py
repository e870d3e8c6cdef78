"""What a ledger does beside its batches: keeping Redis equal to the database, and finishing what was left unfinished."""

import fcntl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

import structlog
from sqlalchemy import Engine, func, select, text, update

from services.ledger.handler import VerdictHandler
from services.ledger.policy import Standing
from services.ledger.policy_sql import SqlPolicy
from services.ledger.ports import Change
from services.ledger.projection_redis import Entry, ProjectionState, RedisProjection
from services.ledger.runs_sql import SqlRuns
from services.ledger.versions_sql import last_version
from shared.tables.ledger import address, outbox, projection
from shared.tables.transactions import now_of, transaction

PAGE: Final = 10_000
_DRAIN: Final = 500
_PROJECTED: Final = (address.c.recipient, address.c.version, address.c.soft, address.c.state)
_LEFT_BEHIND_AFTER: Final = timedelta(seconds=5)
_LEFT_UNFINISHED_AFTER: Final = timedelta(minutes=1)
_REBUILD: Final = "rebuild"
_POLICY: Final = "policy"
_RUNS: Final = "runs"

log = structlog.get_logger(__name__)


def needs_rebuild(engine: Engine, redis_projection: RedisProjection) -> bool:
    """Whether Redis is empty, another process, of another epoch, or ahead of a database that was restored."""
    return _is_off(engine, redis_projection.state())


def _is_off(engine: Engine, state: ProjectionState) -> bool:
    with transaction(engine, is_reading=True) as connection:
        epoch = connection.execute(select(projection.c.epoch)).scalar_one()
        return not state.is_ready or state.epoch != epoch or state.high > last_version(connection)


def rebuild(
    engine: Engine,
    redis_projection: RedisProjection,
    *,
    is_forced: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Fill Redis anew from the database, while traffic runs; how many addresses were written.

    Under a lock of the database and after looking again, so that of many ledgers one does it. `progress` is told how many
    of how many addresses are done.
    """
    with _lock(engine, _REBUILD) as is_held:
        if not is_held() or not (is_forced or needs_rebuild(engine, redis_projection)):
            return 0
        while is_held():
            written = _fill(engine, redis_projection, progress)
            if written is not None:
                log.info("projection_rebuilt", addresses=written)
                return written
    return 0


def _fill(engine: Engine, redis_projection: RedisProjection, progress: Callable[[int, int], None]) -> int | None:
    """One attempt; None when another epoch began meanwhile."""
    state = redis_projection.state()
    with transaction(engine) as connection:
        highest = func.max(projection.c.epoch)
        current: int = connection.execute(select(highest)).scalar_one()
        epoch = max(current, state.epoch or 0) + 1
        connection.execute(update(projection).values(epoch=epoch))
        total: int = connection.execute(select(func.count()).select_from(address)).scalar_one()
    run_id = redis_projection.begin(epoch)
    written = 0
    with ThreadPoolExecutor(1) as writer:  # Redis takes a page while the database gives the next
        writing: Future[bool] | None = None
        for page in pages(engine):
            if writing and not writing.result():
                return None
            writing = writer.submit(redis_projection.write_entries, epoch, page)
            written += len(page)
            progress(written, total)
        if writing and not writing.result():
            return None
    return written if redis_projection.finish(epoch, run_id) else None


def pages(engine: Engine, size: int = PAGE) -> Iterator[list[Entry]]:
    """Every address that ever changed, each page in a statement of its own, begun when the one before was dealt with."""
    after = ""
    while True:
        chosen = select(*_PROJECTED).where(address.c.recipient > after, address.c.version > 0)
        with transaction(engine, is_reading=True) as connection:
            rows = connection.execute(chosen.order_by(address.c.recipient).limit(size)).all()
        if not rows:
            return
        yield [Entry(*row) for row in rows]
        after = rows[-1].recipient


@contextmanager
def _lock(engine: Engine, name: str) -> Iterator[Callable[[], bool]]:
    """Whether the work of that name is ours, still; two rebuilds at once would refuse each other's epoch for ever.

    PostgreSQL lets go of the lock with the connection, the system of SQLite's with the process.
    """
    if engine.dialect.name == "postgresql":
        with transaction(engine) as connection:
            taking = text("SELECT pg_try_advisory_xact_lock(hashtext(:name))")
            yield lambda: bool(connection.execute(taking, {"name": f"mailroom.{name}"}).scalar_one())
        return
    database = engine.url.database
    if not database or database == ":memory:":
        yield lambda: True
        return
    with Path(f"{database}.{name}").open("w") as file:
        yield lambda: _is_locked(file)


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def finish_policy(engine: Engine, handler: VerdictHandler) -> None:
    """Judge every address by a new policy where whoever changed it was interrupted, or is not done within a minute."""
    policies = SqlPolicy(engine)
    newest = policies.in_force()
    if newest.recomputed_at is not None:
        return
    with transaction(engine, is_reading=True) as connection:
        if now_of(connection) - newest.made_at < _LEFT_UNFINISHED_AFTER:
            return
    with _lock(engine, _POLICY) as is_held:
        if is_held():
            changed = _tell_pages(handler, policies.recompute())
            log.info("policy_applied", version=newest.version, changed=changed)


def finish_runs(engine: Engine, handler: VerdictHandler) -> None:
    """Judge the addresses of an applied run anew where whoever applied it was interrupted, or is not done within a minute."""
    runs = SqlRuns(engine)
    with transaction(engine, is_reading=True) as connection:
        now = now_of(connection)
    for run in runs.unsettled():
        if run.decided_at is not None and now - run.decided_at < _LEFT_UNFINISHED_AFTER:
            continue
        with _lock(engine, _RUNS) as is_held:
            if is_held():
                log.info("run_applied", run_id=run.run_id, changed=_tell_pages(handler, runs.settle(run.run_id)))


def _tell_pages(handler: VerdictHandler, pages: Iterable[list[Change]]) -> int:
    """How many changes there were; once some cannot be told, they and all others stay in the outbox."""
    changed = 0
    is_told = True
    for changes in pages:
        changed += len(changes)
        is_told = is_told and (not changes or handler.tell(changes))
        if changes and is_told:
            handler.forget(changes)
    return changed


def drain_outbox(engine: Engine, handler: VerdictHandler) -> int:
    """Tell again what a batch could not tell; how many changes went.

    In PostgreSQL the rows are locked meanwhile, and other ledgers skip them. SQLite's single writer must not wait for
    Redis or a broker: there the rows are only read, and two drains at once say the same twice.
    """
    with transaction(engine, is_reading=True) as connection:
        left_behind = outbox.c.made_at < now_of(connection) - _LEFT_BEHIND_AFTER
        waiting = select(outbox).where(left_behind).order_by(outbox.c.recipient, outbox.c.version).limit(_DRAIN)
        rows = connection.execute(waiting.with_for_update(skip_locked=True)).all()
        changes = [Change(row.recipient, row.version, Standing(), row.event) for row in rows]
        if not changes or not handler.tell(changes):
            return 0
    handler.forget(changes)
    return len(changes)
