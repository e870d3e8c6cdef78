"""From reports to failed sends. Pure: the order, the number and the grouping of reports change nothing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ledger.policy import Event, Severity
from shared.contract import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """What one mail says of one recipient."""

    raw_id: str
    event_id: str
    severity: Severity
    received_at: datetime
    reason: str | None


def severity_of(verdict: str, action: str | None) -> Severity:
    """A delay is a soft verdict that counts for nothing (RFC 3464 §2.3.3)."""
    if verdict == Verdict.HARD:
        return Severity.HARD
    if verdict == Verdict.SOFT:
        return Severity.DELAYED if action == "delayed" else Severity.SOFT
    if verdict == Verdict.COMPLAINT:
        return Severity.COMPLAINT
    return Severity.UNIDENTIFIED


def fold_events(reports: Iterable[Report]) -> list[Event]:
    """One event for each failed send; a complaint about it is an event of its own."""
    by_event: dict[tuple[str, bool], list[Report]] = defaultdict(list)
    for report in reports:
        by_event[report.event_id, report.severity == Severity.COMPLAINT].append(report)
    return [_fold_event(event_id, group) for (event_id, _), group in by_event.items()]


def _fold_event(event_id: str, reports: Sequence[Report]) -> Event:
    first = min(reports, key=lambda report: (-report.severity, report.received_at, report.raw_id))
    return Event(event_id, first.severity, first.received_at, first.reason)


def merge_outcomes(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """The worst outcome for each recipient of one mail; a recipient that nobody can tell is the empty string."""
    worst: dict[str, Outcome] = {}
    for outcome in outcomes:
        recipient = outcome["recipient"] or ""
        known = worst.get(recipient)
        if known is None or _rank(outcome) > _rank(known):
            worst[recipient] = outcome
    return worst


def _rank(outcome: Outcome) -> tuple[int, str, str, str]:
    severity = severity_of(outcome["verdict"], outcome["action"])
    return severity, outcome["event_id"], outcome["rule"], outcome["evidence"]
