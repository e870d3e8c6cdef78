"""Where addresses stand: locking them, folding their reports anew, and writing down what changed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, select

from services.ledger.bulk_sql import among, insert_rows, update_rows
from services.ledger.fold import Report, fold_events
from services.ledger.policy import Mark, Policy, Severity, Standing, State, judge_address
from services.ledger.ports import RELEASED, Change, event_of
from services.ledger.versions_sql import draw_versions
from shared.tables.ledger import address, hold, mark, outbox, policy, raw, raw_run, report


def read_policy(connection: Connection) -> Policy:
    """The policy in force, read under the locks of the addresses; never cached."""
    row = connection.execute(select(policy).order_by(policy.c.version.desc()).limit(1)).one()
    return Policy(row.soft_limit, row.complaint_suppresses)


def lock_addresses(connection: Connection, recipients: Sequence[str], now: datetime) -> dict[str, Change]:
    """Make every address exist and lock it, in the one order that all ledgers use; as they stood before."""
    if not recipients:
        return {}
    blank = {"state": State.OK.value, "soft": 0, "hard": False, "version": 0, "changed_at": now}
    rows = [{"recipient": recipient, **blank} for recipient in recipients]
    insert_rows(connection, address, rows, skip_known=True)
    chosen = select(address).where(among(connection, address.c.recipient, recipients))
    locked = connection.execute(chosen.order_by(address.c.recipient).with_for_update())
    return {row.recipient: as_change(row) for row in locked}


def read_addresses(connection: Connection, recipients: Sequence[str]) -> list[Change]:
    """The addresses as they stand now."""
    chosen = select(address).where(among(connection, address.c.recipient, recipients))
    return [as_change(row) for row in connection.execute(chosen)]


def as_change(row: Any) -> Change:
    """A row of `address` as the ledger thinks of it."""
    standing = Standing(State(row.state), row.soft, row.hard, row.reason, row.since, row.event_id)
    return Change(row.recipient, row.version, standing)


def recompute(connection: Connection, before: Mapping[str, Change], limits: Policy, now: datetime) -> list[Change]:
    """Fold locked addresses anew, write down those whose standing changed, and remember to tell it."""
    reports = _counted_reports(connection, list(before))
    marks = _latest_marks(connection, list(before))
    changed: list[tuple[Change, Standing]] = []
    for recipient in sorted(before):
        standing = judge_address(fold_events(reports.get(recipient, ())), limits, marks.get(recipient))
        if standing != before[recipient].standing:
            changed.append((before[recipient], standing))
    if not changed:
        return []
    versions = draw_versions(connection, len(changed))
    changes = [
        Change(old.recipient, version, standing, _event_between(old.standing, standing))
        for version, (old, standing) in zip(versions, changed, strict=True)
    ]
    _write_standings(connection, changes, now)
    return changes


def _event_between(before: Standing, after: Standing) -> str | None:
    return None if event_of(before) == event_of(after) else event_of(after)


def _counted_reports(connection: Connection, recipients: Sequence[str]) -> dict[str, list[Report]]:
    """The reports that count: delivered by nobody's run, or by one that is not held and was not dropped."""
    kept_out = and_(hold.c.run_id == raw_run.c.run_id, hold.c.state.in_(("held", "dropped")))
    delivered = exists().where(raw_run.c.raw_id == report.c.raw_id, ~exists().where(kept_out))
    columns = (report.c.recipient, report.c.raw_id, report.c.event_id, report.c.severity, report.c.reason)
    counted = (
        select(*columns, raw.c.received_at)
        .join(raw, raw.c.raw_id == report.c.raw_id)
        .where(among(connection, report.c.recipient, recipients), delivered)
    )
    reports: dict[str, list[Report]] = defaultdict(list)
    for recipient, raw_id, event_id, severity, reason, received_at in connection.execute(counted):
        reports[recipient].append(Report(raw_id, event_id, Severity(severity), received_at, reason))
    return reports


def _latest_marks(connection: Connection, recipients: Sequence[str]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    made = select(mark).where(among(connection, mark.c.recipient, recipients)).order_by(mark.c.made_at)
    for row in connection.execute(made):
        known = marks.get(row.recipient)
        released_at = row.made_at if row.state == RELEASED else (known.released_at if known else None)
        marks[row.recipient] = Mark(row.state, row.made_at, released_at)
    return marks


def _write_standings(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    stored = [
        {
            "recipient": change.recipient,
            "state": change.standing.state.value,
            "soft": change.standing.soft,
            "hard": change.standing.hard,
            "reason": change.standing.reason,
            "since": change.standing.since,
            "event_id": change.standing.event_id,
            "version": change.version,
            "changed_at": now,
        }
        for change in changes
    ]
    update_rows(connection, address, stored, address.c.recipient)
    told = [
        {"recipient": change.recipient, "version": change.version, "event": change.event, "made_at": now}
        for change in changes
    ]
    insert_rows(connection, outbox, told)
