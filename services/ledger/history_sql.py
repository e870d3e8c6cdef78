"""The history of one address, read in one consistent view of the database."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, func, select

from services.ledger.fold import Report
from services.ledger.history import (
    AuditEntry,
    Delivered,
    Entry,
    EventEntry,
    Evidence,
    Happening,
    History,
    MarkEntry,
    explain_events,
)
from services.ledger.policy import Mark, Policy, Severity, Standing
from services.ledger.ports import RELEASED
from services.ledger.standings_sql import read_addresses
from shared.tables.ledger import KEPT_OUT, address, audit, hold, mark, policy, raw, raw_run, report
from shared.tables.transactions import transaction

NEWEST: Final = 100
REPORTS_OF_EVENT: Final = 20
"""Unless all are asked for: a mail loop can report one send a thousand times."""

_CHUNK: Final = 500


class SqlHistory:
    """Raises DatabaseUnreachable."""

    def __init__(self, engine: Engine) -> None:
        if engine.dialect.name == "postgresql":  # SQLite's reader sees one state anyway
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._engine = engine

    def read(self, recipient: str, newest: int | None = NEWEST) -> History:
        """Of a normalised address; `newest` bounds the events, the marks and the audit each, None: all of them."""
        with transaction(self._engine, is_reading=True) as connection:
            known = read_addresses(connection, [recipient])
            standing = known[0].standing if known else Standing()
            limits = _policy(connection)
            delivered = _deliveries(connection, recipient)
            happenings = explain_events(
                _reports(connection, recipient), delivered, limits, _latest_mark(connection, recipient), standing
            )
            shown = happenings if newest is None else happenings[max(0, len(happenings) - newest) :]
            entries: list[Entry] = _event_entries(connection, recipient, shown, delivered, bounded=newest is not None)
            entries += [
                MarkEntry(row.made_at, row.state, row.who, row.why)
                for row in _newest(connection, mark, mark.c.recipient == recipient, newest)
            ]
            entries += [
                AuditEntry(row.made_at, row.what, row.who, row.why)
                for row in _newest(connection, audit, audit.c.subject == recipient, newest)
            ]
            marks = _count(connection, mark, mark.c.recipient == recipient)
            audits = _count(connection, audit, audit.c.subject == recipient)
            changed = connection.execute(select(address.c.changed_at).where(address.c.recipient == recipient))
            changed_at = changed.scalar_one_or_none()
        return History(
            recipient,
            bool(known or happenings or marks or audits),
            standing,
            limits.soft_limit,
            known[0].version if known else 0,
            changed_at,
            len(happenings),
            marks,
            audits,
            tuple(sorted(entries, key=lambda entry: entry.at)),
        )


def _policy(connection: Connection) -> Policy:
    """The policy in force, without the lock of those who judge by it: looking waits for nobody."""
    row = connection.execute(select(policy).order_by(policy.c.version.desc()).limit(1)).one()
    return Policy(row.soft_limit, row.complaint_suppresses)


def _reports(connection: Connection, recipient: str) -> list[Report]:
    columns = (report.c.raw_id, report.c.event_id, report.c.severity, raw.c.received_at, report.c.reason)
    said = select(*columns).join(raw, raw.c.raw_id == report.c.raw_id).where(report.c.recipient == recipient)
    return [
        Report(raw_id, event_id, Severity(severity), received_at, reason)
        for raw_id, event_id, severity, received_at, reason in connection.execute(said)
    ]


def _deliveries(connection: Connection, recipient: str) -> dict[str, tuple[Delivered, ...]]:
    """The ways in which every mail that speaks of the address came: the first stands with the mail."""
    first = (
        select(raw.c.raw_id, raw.c.run_id, hold.c.state)
        .join(report, report.c.raw_id == raw.c.raw_id)
        .outerjoin(hold, hold.c.run_id == raw.c.run_id)
        .where(report.c.recipient == recipient)
    )
    again = (
        select(raw_run.c.raw_id, raw_run.c.run_id, hold.c.state)
        .join(report, report.c.raw_id == raw_run.c.raw_id)
        .outerjoin(hold, hold.c.run_id == raw_run.c.run_id)
        .where(report.c.recipient == recipient)
        .order_by(raw_run.c.recorded_at, raw_run.c.run_id)
    )
    ways: dict[str, list[Delivered]] = defaultdict(list)
    for came in (first, again):
        for raw_id, run_id, state in connection.execute(came):
            ways[raw_id].append(Delivered(run_id or None, state, state not in KEPT_OUT))
    return {raw_id: tuple(all_ways) for raw_id, all_ways in ways.items()}


def _latest_mark(connection: Connection, recipient: str) -> Mark | None:
    made = select(mark.c.state, mark.c.made_at).where(mark.c.recipient == recipient).order_by(mark.c.made_at.desc())
    latest = connection.execute(made.limit(1)).first()
    if latest is None:
        return None
    released = connection.execute(made.where(mark.c.state == RELEASED).limit(1)).first()
    return Mark(latest.state, latest.made_at, released.made_at if released else None)


def _event_entries(
    connection: Connection,
    recipient: str,
    happenings: Sequence[Happening],
    delivered: dict[str, tuple[Delivered, ...]],
    *,
    bounded: bool,
) -> list[Entry]:
    shown = {
        happening: _shown_reports(happening, REPORTS_OF_EVENT) if bounded else happening.raw_ids
        for happening in happenings
    }
    evidence = _evidence(connection, recipient, [raw_id for raw_ids in shown.values() for raw_id in raw_ids], delivered)
    return [
        EventEntry(
            one.at,
            one.event_id,
            one.severity.name.lower(),
            one.reason,
            one.why_not is None,
            one.why_not,
            one.decided,
            len(one.raw_ids),
            tuple(evidence[raw_id] for raw_id in reversed(raw_ids) if raw_id in evidence),
        )
        for one, raw_ids in shown.items()
    ]


def _shown_reports(happening: Happening, most: int) -> tuple[str, ...]:
    """The report that says why, and the newest others."""
    if len(happening.raw_ids) <= most:
        return happening.raw_ids
    newest = happening.raw_ids[:most]
    return newest if happening.deciding in newest else (*newest[:-1], happening.deciding)


def _evidence(
    connection: Connection, recipient: str, raw_ids: Sequence[str], delivered: dict[str, tuple[Delivered, ...]]
) -> dict[str, Evidence]:
    found: dict[str, Evidence] = {}
    mail = (raw.c.received_at, raw.c.reporting_mta, raw.c.list_id, raw.c.account, raw.c.campaign, raw.c.publisher_id)
    said = select(report, *mail, raw.c.classifier_version).join(raw, raw.c.raw_id == report.c.raw_id)
    for start in range(0, len(raw_ids), _CHUNK):
        chosen = report.c.raw_id.in_(raw_ids[start : start + _CHUNK])
        for row in connection.execute(said.where(report.c.recipient == recipient, chosen)):
            found[row.raw_id] = _as_evidence(row, delivered.get(row.raw_id, ()))
    return found


def _as_evidence(row: Any, delivered: tuple[Delivered, ...]) -> Evidence:
    return Evidence(
        row.raw_id,
        row.received_at,
        row.verdict,
        row.reason,
        row.fault,
        row.action,
        row.status,
        row.reply_code,
        row.diagnostic_code,
        row.final_recipient,
        row.rule,
        row.evidence,
        row.reporting_mta,
        row.remote_mta,
        row.list_id,
        row.account,
        row.campaign,
        row.publisher_id,
        row.classifier_version,
        delivered,
    )


def _newest(connection: Connection, table: Table, chosen: Any, most: int | None) -> list[Any]:
    newest = select(table).where(chosen).order_by(table.c.made_at.desc()).limit(most)
    return list(connection.execute(newest))


def _count(connection: Connection, table: Table, chosen: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(chosen)).scalar_one())
