"""From reports to failed sends. Pure: the order, the number and the grouping of reports change nothing."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from services.ledger.policy import Event, Severity
from shared.contract import Outcome, Verdict


class Report(NamedTuple):
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
    """One event for each failed send; a complaint about it is an event of its own.

    It says what the first of its worst reports says.
    """
    said: dict[tuple[str, bool], Report] = {}
    for report in reports:
        key = report.event_id, report.severity < 0
        known = said.get(key)
        if known is None or _is_before(report, known):
            said[key] = report
    return [Event(one.event_id, one.severity, one.received_at, one.reason) for one in said.values()]


def _is_before(one: Report, other: Report) -> bool:
    if one.severity != other.severity:
        return one.severity > other.severity
    return (one.received_at, one.raw_id) < (other.received_at, other.raw_id)


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
