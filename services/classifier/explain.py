"""Why a message was judged as it was: every stage in order, for a person to read."""

from services.classifier.identity import KNOWN_LIMITS
from services.classifier.judge import judge
from services.classifier.judgement import Judgement, Outcome
from services.classifier.reasons import REASONS
from services.classifier.rule import fold
from services.classifier.rulebook import own_rulebook
from services.classifier.version import CLASSIFIER_VERSION
from shared.identity import raw_id

Section = tuple[str, list[str]]
"""A stage and its lines."""


def explain(raw: bytes) -> list[Section]:
    """Stages in the order they ran: identity of the mail, reading, kind, each recipient, the message's verdict."""
    judgement = judge(raw)
    sections: list[Section] = [
        ("mail", [f"raw_id {raw_id(raw)}", f"{len(raw)} bytes, rules of version {CLASSIFIER_VERSION}"])
    ]
    for stage in ("read", "kind", "identity", "recipient", "reason", "verdict"):
        lines = [step.text for step in judgement.trace if step.stage == stage]
        if lines:
            sections.append((stage, lines))
    sections.extend(
        (f"outcome {number}", _outcome_lines(outcome)) for number, outcome in enumerate(judgement.outcomes, 1)
    )
    sections.append(("result", _result_lines(judgement)))
    return sections


def _outcome_lines(outcome: Outcome) -> list[str]:
    reason = outcome.reason or "undefined"
    delivered_as = (
        f" (delivered as {outcome.final_recipient})" if outcome.final_recipient not in (None, outcome.recipient) else ""
    )
    codes = {
        "action": outcome.action,
        "status": outcome.status,
        "reply": outcome.reply_code,
        "remote": outcome.remote_mta,
    }
    lines = [
        f"recipient {outcome.recipient or 'nobody can tell'}{delivered_as}",
        f"verdict {outcome.verdict}, reason {reason} ({REASONS[reason].about}), fault {outcome.fault or 'unknown'}",
        f"rule {outcome.rule}: {outcome.evidence}",
        ", ".join(f"{name} {value or 'none'}" for name, value in codes.items()),
    ]
    if outcome.diagnostic_code:
        lines.append(f"diagnostic {outcome.diagnostic_code}")
        others = [rule for rule in own_rulebook().every(fold(outcome.diagnostic_code)) if rule != outcome.rule]
        if others:
            lines.append(f"other rules that match it: {', '.join(others)}")
    lines.append(f"event_id {outcome.event_id}")
    if outcome.tier in KNOWN_LIMITS:
        lines.append(f"named by tier {outcome.tier}; its limit: {KNOWN_LIMITS[outcome.tier]}")
    return lines


def _result_lines(judgement: Judgement) -> list[str]:
    return [
        f"kind {judgement.kind}, verdict {judgement.verdict}",
        f"reporting MTA {judgement.reporting_mta or 'unknown'}, campaign {judgement.campaign or 'unknown'}",
    ]
