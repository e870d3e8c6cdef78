"""Where addresses stand: locking them, folding their reports anew, and writing down what changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, exists, func, select, text

from services.ledger.bulk_sql import among, insert_new, insert_rows, update_rows
from services.ledger.fold import Report, fold_events
from services.ledger.policy import DECISIVE, SEVERITIES, Event, Mark, Policy, Severity, Standing, State, judge_address
from services.ledger.ports import RELEASED, Change, event_of
from services.ledger.versions_sql import draw_versions
from shared.tables.ledger import address, is_delivered, mark, outbox, policy, raw, report

POLICY_GATE: Final = "mailroom.policy.gate"
_NO_EVENTS: Final[tuple[list[Event], int]] = ([], 0)
_BLANK: Final = Standing()
_STATES: Final = {state.value: state for state in State}


def read_policy(connection: Connection) -> Policy:
    """The policy in force, read under the locks of the addresses; never cached.

    Whoever changes it waits at the gate for those who still judge by the old one, and they queue behind it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(hashtext(:gate))"), {"gate": POLICY_GATE})
    # A statement of its own: the one that waited would still see the old one.
    row = connection.execute(select(policy).order_by(policy.c.version.desc()).limit(1)).one()
    return Policy(row.soft_limit, row.complaint_suppresses)


class Locked(NamedTuple):
    """Addresses under lock as they stood before; `made` are those that this transaction made: nothing was reported of them."""

    before: dict[str, Change]
    made: set[str]


def lock_addresses(connection: Connection, recipients: Sequence[str], now: datetime) -> dict[str, Change]:
    """Make every address exist and lock it, in the one order that all ledgers use; as they stood before."""
    return lock_and_make(connection, recipients, now).before


def lock_and_make(connection: Connection, recipients: Sequence[str], now: datetime) -> Locked:
    """The same, telling which were not there."""
    if not recipients:
        return Locked({}, set())
    blank = {"state": State.OK.value, "soft": 0, "hard": False, "version": 0, "changed_at": now}
    rows = [{"recipient": recipient, **blank} for recipient in recipients]
    made = insert_new(connection, address, rows, address.c.recipient)
    before = {recipient: Change(recipient, 0, _BLANK) for recipient in made}
    known = [recipient for recipient in recipients if recipient not in made]
    if known:
        chosen = select(address).where(among(connection, address.c.recipient, known))
        locked = connection.execute(chosen.order_by(address.c.recipient).with_for_update()).all()
        before.update((row.recipient, as_change(row)) for row in locked)
    return Locked(before, made)


def read_addresses(connection: Connection, recipients: Sequence[str]) -> list[Change]:
    """The addresses as they stand now."""
    chosen = select(address).where(among(connection, address.c.recipient, recipients))
    return [as_change(row) for row in connection.execute(chosen).all()]


def as_change(row: Any) -> Change:
    """A row of `address` as the ledger thinks of it."""
    recipient, state, soft, hard, reason, since, event_id, version, _ = row
    return Change(recipient, version, Standing(_STATES[state], soft, hard, reason, since, event_id))


def recompute(
    connection: Connection,
    before: Mapping[str, Change],
    limits: Policy,
    now: datetime,
    first_reports: Mapping[str, list[Report]] = MappingProxyType({}),
) -> list[Change]:
    """Fold locked addresses anew, write down those whose standing changed, and remember to tell it.

    `first_reports`: all that count of addresses of which nothing else was ever reported; they need not be read.
    """
    marks = _latest_marks(connection, list(before))
    known = [recipient for recipient in before if recipient not in first_reports]
    events = _earliest_events(connection, known, limits)
    changed: list[tuple[Change, Standing]] = []
    for recipient in sorted(before):
        told, more_soft = events.get(recipient, _NO_EVENTS)
        if recipient in first_reports:
            told = fold_events(first_reports[recipient])
        standing = judge_address(told, limits, marks.get(recipient), more_soft)
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


def _earliest_events(
    connection: Connection, recipients: Sequence[str], limits: Policy
) -> dict[str, tuple[list[Event], int]]:
    """The events that can decide, folded from the reports that count, and how many soft ones come after those.

    fold.fold_events in SQL: of an address with 10,000 events some few leave the database.
    """
    if not recipients:
        return {}
    said = (report.c.severity.desc(), raw.c.received_at, report.c.raw_id)
    of_event = (report.c.recipient, report.c.event_id, report.c.severity < 0)
    facts = (
        select(
            *(report.c.recipient, report.c.event_id, report.c.severity, report.c.reason, raw.c.received_at),
            func.row_number().over(partition_by=of_event, order_by=said).label("place"),
        )
        .join(raw, raw.c.raw_id == report.c.raw_id)
        .where(among(connection, report.c.recipient, recipients), is_delivered())
        .subquery()
    )
    released = exists().where(
        mark.c.recipient == facts.c.recipient, mark.c.state == RELEASED, mark.c.made_at >= facts.c.received_at
    )
    of_severity = (facts.c.recipient, facts.c.severity)
    ranked = (
        select(
            *(facts.c.recipient, facts.c.event_id, facts.c.severity, facts.c.received_at, facts.c.reason),
            func.row_number()
            .over(partition_by=of_severity, order_by=(facts.c.received_at, facts.c.event_id))
            .label("number"),
            func.count().over(partition_by=of_severity).label("total"),
        )
        .where(facts.c.place == 1, facts.c.severity.in_(DECISIVE), ~released)
        .subquery()
    )
    chosen = select(ranked).where(ranked.c.number <= max(1, limits.soft_limit))
    events: dict[str, tuple[list[Event], int]] = {}
    for recipient, event_id, severity, received_at, reason, number, total in connection.execute(chosen).all():
        known, more_soft = events.get(recipient, _NO_EVENTS)
        if severity == Severity.SOFT and number == 1:
            more_soft = max(0, total - limits.soft_limit)
        events[recipient] = [*known, Event(event_id, SEVERITIES[severity], received_at, reason)], more_soft
    return events


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
