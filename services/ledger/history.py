"""What is known of one address, and what of it counts. Pure: the same fold and policy as the standing itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.fold import Report, fold_events
from services.ledger.policy import Event, Mark, Policy, Severity, Standing, State


@dataclass(frozen=True, slots=True)
class Delivered:
    """How a mail came: through a run (None: a publisher), and what is decided of that run."""

    run_id: str | None
    hold: str | None
    """held, applied or dropped; None when it never was held."""

    counts: bool
    """What it delivered is part of the fold."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One report in full: what one mail says of the address."""

    raw_id: str
    received_at: datetime
    verdict: str
    reason: str | None
    fault: str | None
    action: str | None
    status: str | None
    reply_code: str | None
    diagnostic_code: str | None
    final_recipient: str | None
    rule: str
    words: str
    """What of the mail the rule matched."""
    reporting_mta: str | None
    remote_mta: str | None
    list_id: str | None
    account: str | None
    campaign: str | None
    publisher_id: str | None
    classifier_version: int
    delivered: tuple[Delivered, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """One failed send, or a complaint about one, before its evidence is read."""

    event_id: str
    severity: Severity
    at: datetime
    reason: str | None
    why_not: str | None
    """Why it does not count; None: it does."""
    decided: bool
    """The standing comes from it."""
    deciding: str
    """The raw_id of the report that says so."""
    raw_ids: tuple[str, ...]
    """Its reports, the latest first."""


@dataclass(frozen=True, slots=True)
class EventEntry:
    """One failed send, folded from its reports."""

    at: datetime
    event_id: str
    severity: str
    reason: str | None
    counts: bool
    why_not: str | None
    decided: bool
    reports_total: int
    reports: tuple[Evidence, ...]
    """The earliest first."""
    type: str = "event"


@dataclass(frozen=True, slots=True)
class MarkEntry:
    """Suppressed or released by hand."""

    at: datetime
    state: str
    who: str
    why: str
    type: str = "mark"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What somebody did by hand."""

    at: datetime
    what: str
    who: str
    why: str
    type: str = "audit"


Entry = EventEntry | MarkEntry | AuditEntry


@dataclass(frozen=True, slots=True)
class History:
    """All of it, or the newest of each kind."""

    recipient: str
    is_known: bool
    standing: Standing
    soft_limit: int
    version: int
    changed_at: datetime | None
    events_total: int
    marks_total: int
    audits_total: int
    entries: tuple[Entry, ...]
    """In order of time."""


def explain_events(
    reports: Iterable[Report],
    delivered: Mapping[str, Sequence[Delivered]],
    policy: Policy,
    mark: Mark | None,
    standing: Standing,
) -> list[Happening]:
    """Every event, and whether it counts, in order of time; one that was delivered by held runs only is told as held."""
    groups: dict[tuple[str, bool], list[Report]] = {}
    for report in reports:
        groups.setdefault((report.event_id, report.severity == Severity.COMPLAINT), []).append(report)
    happenings = [_explain(group, delivered, policy, mark, standing) for group in groups.values()]
    return sorted(happenings, key=lambda one: (one.at, one.event_id))


def _explain(
    group: Sequence[Report],
    delivered: Mapping[str, Sequence[Delivered]],
    policy: Policy,
    mark: Mark | None,
    standing: Standing,
) -> Happening:
    counted = [report for report in group if any(way.counts for way in delivered.get(report.raw_id, ()))]
    (event,) = fold_events(counted or group)
    deciding = min(
        (report for report in counted or group if (report.severity, report.received_at) == (event.severity, event.at)),
        key=lambda report: report.raw_id,
    )
    if counted:
        why_not = _why_not(event, policy, mark)
    else:
        ways = [way for report in group for way in delivered.get(report.raw_id, ())]
        why_not = _kept_out(ways)
    # A complaint about a send has the id of the send.
    is_kind = (event.severity == Severity.COMPLAINT) == (standing.state == State.SUPPRESSED)
    newest_first = sorted(group, key=lambda report: (report.received_at, report.raw_id), reverse=True)
    return Happening(
        event.event_id,
        event.severity,
        event.at,
        event.reason,
        why_not,
        why_not is None and is_kind and event.event_id == standing.event_id,
        deciding.raw_id,
        tuple(report.raw_id for report in newest_first),
    )


def _why_not(event: Event, policy: Policy, mark: Mark | None) -> str | None:
    if event.severity == Severity.COMPLAINT and not policy.complaint_suppresses:
        return "a complaint: the policy does not count them"
    if event.severity == Severity.DELAYED:
        return "delayed: the server still tried"
    if event.severity == Severity.UNIDENTIFIED:
        return "unidentified: nobody can tell why it failed"
    released_at = mark.released_at if mark else None
    if released_at is not None and event.at <= released_at:
        return f"released before: reported no later than the release of {released_at:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _kept_out(ways: Sequence[Delivered]) -> str:
    held = sorted({way.run_id or "" for way in ways if way.hold == "held"})
    if held:
        return f"held for review: run {', '.join(held)}"
    dropped = sorted({way.run_id or "" for way in ways})
    return f"dropped: run {', '.join(dropped)}" if dropped else "it was never delivered"
