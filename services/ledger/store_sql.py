"""Recording verdicts in the database: one transaction a batch, one order of locks.

Holds, addresses, policy, mails, reports, then the fold in a statement of its own, then the outbox. In one statement with
the inserts the fold would not see what another ledger committed meanwhile, and lose its count.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, select, tuple_, update

from services.ledger.database import insert, now_of, transaction
from services.ledger.fold import merge_outcomes, severity_of
from services.ledger.ports import Change
from services.ledger.standings_sql import lock_addresses, read_addresses, read_policy, recompute
from shared.contract import Outcome, VerdictMessage
from shared.tables.ledger import hold, outbox, projection, raw, raw_run, report

TRANSACTION_OUTCOMES: Final = 2000
"""A batch with more outcomes than this becomes several transactions: bounded statements, short locks."""

_NO_RUN: Final = ""


class _NewRecipients(Exception):
    """Another ledger gave one of our mails other recipients before we had locked them."""


class SqlVerdictStore:
    """The ledger's record, on PostgreSQL or SQLite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, verdicts: Sequence[VerdictMessage]) -> list[Change]:
        """The addresses whose standing changed. Raises DatabaseUnreachable; what was committed before it, stays."""
        changes: dict[str, Change] = {}
        for part in _parts(verdicts):
            for change in self._record_part(part):
                known = changes.get(change.recipient)
                changes[change.recipient] = change if known is None else _joined(known, change)
        return list(changes.values())

    def _record_part(self, verdicts: Sequence[VerdictMessage]) -> list[Change]:
        mails = _merge_copies(verdicts)
        extra: set[str] = set()
        while True:
            try:
                with transaction(self._engine) as connection:
                    return _record(connection, mails, verdicts, extra)
            except _NewRecipients as exc:
                extra |= set(exc.args[0])

    def current_changes(self, changes: Sequence[Change]) -> tuple[int, list[Change]]:
        """The epoch, then the addresses as they stand, in statements begun after the commit."""
        with transaction(self._engine, is_reading=True) as connection:
            epoch = connection.execute(select(projection.c.epoch)).scalar_one()
            return epoch, read_addresses(connection, [change.recipient for change in changes])

    def clear_outbox(self, changes: Sequence[Change]) -> None:
        """Forget these versions and older ones of the same addresses."""
        with transaction(self._engine) as connection:
            keys = sorted((change.recipient, change.version) for change in changes)
            connection.execute(delete(outbox).where(tuple_(outbox.c.recipient, outbox.c.version).in_(keys)))


def _parts(verdicts: Sequence[VerdictMessage]) -> Iterator[list[VerdictMessage]]:
    part: list[VerdictMessage] = []
    outcomes = 0
    for verdict in verdicts:
        if part and outcomes + len(verdict["outcomes"]) > TRANSACTION_OUTCOMES:
            yield part
            part, outcomes = [], 0
        part.append(verdict)
        outcomes += len(verdict["outcomes"])
    if part:
        yield part


def _joined(first: Change, then: Change) -> Change:
    """Two changes of one address in one batch: the later standing, and word of it unless they cancel out."""
    if first.event and then.event:
        return Change(then.recipient, then.version, then.standing, None)
    return Change(then.recipient, then.version, then.standing, then.event or first.event)


def _merge_copies(verdicts: Sequence[VerdictMessage]) -> dict[str, VerdictMessage]:
    """One verdict a mail: the newest, with the earliest time at which any copy was received."""
    mails: dict[str, VerdictMessage] = {}
    for verdict in verdicts:
        known = mails.get(verdict["raw_id"])
        if known is None:
            mails[verdict["raw_id"]] = verdict
            continue
        newest = verdict if _age(verdict) > _age(known) else known
        earliest = min(verdict["received_at"], known["received_at"])
        mails[verdict["raw_id"]] = {**newest, "received_at": earliest}
    return mails


def _age(verdict: VerdictMessage) -> tuple[int, datetime]:
    return verdict["classifier_version"], verdict["judged_at"]


def _record(
    connection: Connection, mails: dict[str, VerdictMessage], copies: Sequence[VerdictMessage], extra: set[str]
) -> list[Change]:
    now = now_of(connection)
    for verdict in mails.values():
        verdict["received_at"] = min(verdict["received_at"], now)
    outcomes = {raw_id: merge_outcomes(verdict["outcomes"]) for raw_id, verdict in mails.items()}
    runs = {verdict["run_id"] for verdict in copies if verdict["run_id"]}
    if runs:
        connection.execute(select(hold.c.run_id).where(hold.c.run_id.in_(runs)).with_for_update(read=True)).all()
    recipients = extra | {name for merged in outcomes.values() for name in merged if name}
    recipients |= _reported_recipients(connection, mails)
    before = lock_addresses(connection, sorted(recipients), now)
    limits = read_policy(connection)
    fresh, replaced = _record_mails(connection, mails)
    stale = [raw_id for raw_id in mails if raw_id not in fresh]
    if unlocked := _reported_recipients(connection, stale) - recipients:
        raise _NewRecipients(unlocked)
    _record_runs(connection, copies, now)
    if replaced:
        connection.execute(delete(report).where(report.c.raw_id.in_(replaced)))
    rows = [
        _report_row(raw_id, name, outcome)
        for raw_id in sorted(fresh | replaced)
        for name, outcome in sorted(outcomes[raw_id].items())
    ]
    if rows:
        connection.execute(insert(connection, report), rows)
    return recompute(connection, before, limits, now)


def _reported_recipients(connection: Connection, raw_ids: Iterable[str]) -> set[str]:
    named = select(report.c.recipient).where(report.c.raw_id.in_(list(raw_ids)), report.c.recipient != "").distinct()
    return set(connection.execute(named).scalars())


def _record_mails(connection: Connection, mails: dict[str, VerdictMessage]) -> tuple[set[str], set[str]]:
    """Insert or bring up to date the row of every mail; which are new, and of which the outcomes are replaced."""
    rows = [_mail_row(mails[raw_id]) for raw_id in sorted(mails)]
    inserted = insert(connection, raw).on_conflict_do_nothing().returning(raw.c.raw_id)
    fresh = set(connection.execute(inserted, rows).scalars()) if rows else set()
    stale = [raw_id for raw_id in sorted(mails) if raw_id not in fresh]
    replaced: set[str] = set()
    if not stale:
        return fresh, replaced
    columns = (raw.c.raw_id, raw.c.received_at, raw.c.classifier_version, raw.c.judged_at)
    known = select(*columns).where(raw.c.raw_id.in_(stale)).order_by(raw.c.raw_id).with_for_update()
    for row in connection.execute(known).all():
        verdict = mails[row.raw_id]
        earliest = min(row.received_at, verdict["received_at"])
        if _age(verdict) > (row.classifier_version, row.judged_at):
            replaced.add(row.raw_id)
            changed = {**_mail_row(verdict), "received_at": earliest}
        elif earliest < row.received_at:
            changed = {"received_at": earliest}
        else:
            continue
        connection.execute(update(raw).where(raw.c.raw_id == row.raw_id).values(changed))
    return fresh, replaced


def _mail_row(verdict: VerdictMessage) -> dict[str, Any]:
    return {column.name: verdict[column.name] for column in raw.c}  # type: ignore[literal-required]


def _record_runs(connection: Connection, copies: Sequence[VerdictMessage], now: datetime) -> None:
    pairs = sorted({(verdict["raw_id"], verdict["run_id"] or _NO_RUN) for verdict in copies})
    rows = [{"raw_id": raw_id, "run_id": run_id, "recorded_at": now} for raw_id, run_id in pairs]
    connection.execute(insert(connection, raw_run).on_conflict_do_nothing(), rows)


def _report_row(raw_id: str, recipient: str, outcome: Outcome) -> dict[str, Any]:
    return {
        **outcome,
        "raw_id": raw_id,
        "recipient": recipient,
        "severity": int(severity_of(outcome["verdict"], outcome["action"])),
    }
