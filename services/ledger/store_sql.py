"""Recording verdicts in the database: one transaction a batch, one order of locks.

Holds, addresses, policy, mails, reports, then the fold in a statement of its own, then the outbox. In one statement with
the inserts the fold would not see what another ledger committed meanwhile, and lose its count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, delete, or_, select

from services.ledger.bulk_sql import among, delete_free_rows, insert_new, insert_rows, update_rows
from services.ledger.fold import Report, merge_outcomes, severity_of
from services.ledger.policy import SEVERITIES
from services.ledger.ports import Change
from services.ledger.standings_sql import lock_and_make, read_addresses, read_policy, recompute
from services.ledger.tallies_sql import changed_days
from shared.contract import Outcome, VerdictMessage
from shared.tables.ledger import HELD, KEPT_OUT, changed_day, hold, outbox, projection, raw, raw_run, report
from shared.tables.transactions import now_of, transaction

TRANSACTION_OUTCOMES: Final = 2000
"""A batch with more outcomes (or mails without any) becomes several transactions: bounded statements, short locks."""

_NO_RUN: Final = ""
_MAIL_COLUMNS: Final = tuple(column.name for column in raw.c)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REASON_LENGTH: Final = 64

T = TypeVar("T")


class _NewRecipients(Exception):
    """Another ledger gave one of our mails other recipients before we had locked them."""


class SqlVerdictStore:
    """The ledger's record, on PostgreSQL or SQLite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, verdicts: Sequence[VerdictMessage]) -> list[Change]:
        """What changed, in order; an address twice when two transactions changed it.

        Raises DatabaseUnreachable; what was committed before it, stays, and the outbox remembers what it changed.
        """
        return [change for part in _parts(verdicts) for change in self._record_part(part)]

    def _record_part(self, verdicts: Sequence[VerdictMessage]) -> list[Change]:
        batch = _prepare(verdicts)
        extra: set[str] = set()
        while True:
            try:
                with transaction(self._engine) as connection:
                    return _record(connection, batch, extra)
            except _NewRecipients as exc:
                extra |= set(exc.args[0])

    def current_changes(self, changes: Sequence[Change]) -> tuple[int, list[Change]]:
        """The epoch, then the addresses as they stand, in statements begun after the commit."""
        with transaction(self._engine, is_reading=True) as connection:
            epoch = connection.execute(select(projection.c.epoch)).scalar_one()
            return epoch, read_addresses(connection, [change.recipient for change in changes])

    def clear_outbox(self, changes: Sequence[Change]) -> None:
        """Forget exactly these versions: an older one may hold word of an event that is still to be told."""
        rows = [{"recipient": change.recipient, "version": change.version} for change in changes]
        with transaction(self._engine) as connection:
            delete_free_rows(connection, outbox, rows)


def _parts(verdicts: Sequence[VerdictMessage]) -> Iterator[list[VerdictMessage]]:
    part: list[VerdictMessage] = []
    outcomes = 0
    for verdict in verdicts:
        size = max(1, len(verdict["outcomes"]))
        if part and outcomes + size > TRANSACTION_OUTCOMES:
            yield part
            part, outcomes = [], 0
        part.append(verdict)
        outcomes += size
    if part:
        yield part


def _storable(verdict: VerdictMessage) -> VerdictMessage:
    """The verdict as every database takes it: no NUL, no time before 1970, no reason longer than its column."""
    if (
        verdict["received_at"] >= _EARLIEST
        and verdict["judged_at"] >= _EARLIEST
        and not _has_nul(verdict)
        and all(map(_is_storable, verdict["outcomes"]))
    ):
        return verdict
    kept: VerdictMessage = _without_nul(verdict)
    kept["received_at"] = max(verdict["received_at"], _EARLIEST)
    kept["judged_at"] = max(verdict["judged_at"], _EARLIEST)
    kept["outcomes"] = [_without_nul(outcome) for outcome in verdict["outcomes"]]
    for outcome in kept["outcomes"]:
        if outcome["reason"]:
            outcome["reason"] = outcome["reason"][:_REASON_LENGTH]
    return kept


def _is_storable(outcome: Outcome) -> bool:
    return len(outcome["reason"] or "") <= _REASON_LENGTH and not _has_nul(outcome)


def _has_nul(fields: Mapping[str, Any]) -> bool:
    return "\x00" in "".join([value for value in fields.values() if type(value) is str])


def _without_nul(fields: T) -> T:
    """A copy. PostgreSQL refuses U+0000 in a text, and bounces quote whatever a server wrote."""
    copied: Any = {
        name: value.replace("\x00", "\ufffd") if type(value) is str and "\x00" in value else value
        for name, value in fields.items()  # type: ignore[attr-defined]
    }
    return copied  # type: ignore[no-any-return]


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


class _Batch(NamedTuple):
    """Verdicts made into rows, before anything is locked: several ledgers wait for each other's locks, not for this."""

    copies: list[VerdictMessage]
    mails: dict[str, VerdictMessage]
    mail_rows: dict[str, dict[str, Any]]
    report_rows: dict[str, list[dict[str, Any]]]
    recipients: set[str]
    runs: set[str]


def _prepare(verdicts: Sequence[VerdictMessage]) -> _Batch:
    copies = [_storable(verdict) for verdict in verdicts]
    mails = _merge_copies(copies)
    mail_rows: dict[str, dict[str, Any]] = {}
    report_rows: dict[str, list[dict[str, Any]]] = {}
    recipients: set[str] = set()
    for raw_id in sorted(mails):
        outcomes = merge_outcomes(mails[raw_id]["outcomes"])
        mail_rows[raw_id] = _mail_row(mails[raw_id])
        report_rows[raw_id] = [_report_row(raw_id, name, outcome) for name, outcome in sorted(outcomes.items())]
        recipients.update(outcomes)
    recipients.discard("")
    return _Batch(copies, mails, mail_rows, report_rows, recipients, {one["run_id"] for one in copies if one["run_id"]})


def _record(connection: Connection, batch: _Batch, extra: set[str]) -> list[Change]:
    now = now_of(connection)
    recipients = batch.recipients | extra
    kept_out = _lock_holds(connection, batch.runs)
    before, made = lock_and_make(connection, sorted(recipients), now)
    limits = read_policy(connection)
    fresh, replaced, days = _record_mails(connection, batch, now)
    stale = [raw_id for raw_id in batch.mails if raw_id not in fresh]
    if stale and (unlocked := _reported_recipients(connection, stale) - recipients):
        raise _NewRecipients(unlocked)
    if replaced:
        connection.execute(delete(report).where(among(connection, report.c.raw_id, replaced)))
    said = [row for raw_id, rows in batch.report_rows.items() if raw_id in fresh or raw_id in replaced for row in rows]
    insert_rows(connection, report, said)
    insert_rows(connection, changed_day, days)
    # An address that is new has no more reports than these, unless a run that brought one is held.
    first = {} if kept_out or replaced else _reports_of(made, said, batch.mails, now)
    return recompute(connection, before, limits, now, first)


def _lock_holds(connection: Connection, runs: set[str]) -> bool:
    """Keep a person from deciding meanwhile; whether one of these runs is not to be counted.

    About any run that is held, too: it may have delivered a mail of this batch before.
    """
    met = or_(hold.c.state == HELD, among(connection, hold.c.run_id, runs)) if runs else hold.c.state == HELD
    found = select(hold.c.run_id, hold.c.state).where(met).order_by(hold.c.run_id).with_for_update(read=True)
    return any(row.run_id in runs and row.state in KEPT_OUT for row in connection.execute(found))


def _reports_of(
    recipients: set[str], rows: Sequence[Mapping[str, Any]], mails: Mapping[str, VerdictMessage], now: datetime
) -> dict[str, list[Report]]:
    reports: dict[str, list[Report]] = {recipient: [] for recipient in recipients}
    for row in rows:
        if (known := reports.get(row["recipient"])) is not None:
            raw_id = row["raw_id"]
            received_at = min(mails[raw_id]["received_at"], now)
            known.append(Report(raw_id, row["event_id"], SEVERITIES[row["severity"]], received_at, row["reason"]))
    return reports


def _reported_recipients(connection: Connection, raw_ids: Iterable[str]) -> set[str]:
    mails = among(connection, report.c.raw_id, list(raw_ids))
    return set(connection.execute(select(report.c.recipient).where(mails, report.c.recipient != "")).scalars())


def _record_mails(
    connection: Connection, batch: _Batch, now: datetime
) -> tuple[set[str], set[str], list[dict[str, Any]]]:
    """Insert or bring up to date the row of every mail.

    Which are new, of which the outcomes are replaced, and rows of the days on which something changed.
    """
    mails = batch.mails
    # Not in place: another try has another now.
    rows = {
        raw_id: row if row["received_at"] <= now else {**row, "received_at": now}
        for raw_id, row in batch.mail_rows.items()
    }
    fresh = insert_new(connection, raw, list(rows.values()), raw.c.raw_id)
    first_runs = {raw_id: rows[raw_id]["run_id"] for raw_id in fresh}
    replaced: set[str] = set()
    times = [rows[raw_id]["received_at"] for raw_id in fresh]
    stale = [raw_id for raw_id in rows if raw_id not in fresh]
    if stale:
        known = select(raw).where(among(connection, raw.c.raw_id, stale)).order_by(raw.c.raw_id).with_for_update()
        changed: list[dict[str, Any]] = []
        for found in connection.execute(known).mappings().all():
            first_runs[found["raw_id"]] = found["run_id"]
            row = rows[found["raw_id"]]
            earliest = min(found["received_at"], row["received_at"])
            if _age(mails[found["raw_id"]]) > (found["classifier_version"], found["judged_at"]):
                replaced.add(found["raw_id"])
                changed.append({**row, "run_id": found["run_id"], "received_at": earliest})
            elif earliest < found["received_at"]:
                changed.append({**found, "received_at": earliest})
            else:
                continue
            times += [found["received_at"], earliest]
        update_rows(connection, raw, changed, raw.c.raw_id)
    runs = {(verdict["raw_id"], verdict["run_id"] or _NO_RUN) for verdict in batch.copies}
    again = sorted(pair for pair in runs if pair[1] != first_runs[pair[0]])
    further = [{"raw_id": raw_id, "run_id": run_id, "recorded_at": now} for raw_id, run_id in again]
    insert_rows(connection, raw_run, further, skip_known=True)
    return fresh, replaced, changed_days(times)


def _mail_row(verdict: VerdictMessage) -> dict[str, Any]:
    row: dict[str, Any] = {name: verdict[name] for name in _MAIL_COLUMNS}  # type: ignore[literal-required]
    row["run_id"] = verdict["run_id"] or _NO_RUN
    return row


def _report_row(raw_id: str, recipient: str, outcome: Outcome) -> dict[str, Any]:
    return {
        **outcome,
        "raw_id": raw_id,
        "recipient": recipient,
        "severity": int(severity_of(outcome["verdict"], outcome["action"])),
    }
