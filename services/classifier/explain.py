"""Why a message was judged as it was: every stage in order, for a person to read."""

from services.classifier.identity import KNOWN_LIMITS
from services.classifier.judge import Conclusion, Examination, examine
from services.classifier.judgement import Outcome
from services.classifier.reasons import REASONS
from services.classifier.rule import fold
from services.classifier.rulebook import Rulebook, own_rulebook
from services.classifier.status import reason_of_status
from services.classifier.version import CLASSIFIER_VERSION
from shared.identity import raw_id

Section = tuple[str, list[str]]
"""A stage and its lines."""


def explain(raw: bytes, rulebook: Rulebook | None = None) -> list[Section]:
    """Stages in the order they ran: identity of the mail, reading, kind, each recipient, the message's verdict."""
    rulebook = rulebook or own_rulebook()
    examination = examine(raw, rulebook)
    judgement = examination.judgement
    sections: list[Section] = [
        ("mail", [f"raw_id {raw_id(raw)}", f"{len(raw)} bytes, rules of version {CLASSIFIER_VERSION}"]),
        ("read", [_reading(examination)]),
        ("kind", [f"{examination.recognition.kind}: {'; '.join(examination.recognition.signs)}"]),
    ]
    if send := examination.send:
        sections.append(("identity", [f"tier {send.tier}: {send.source} (its limit: {KNOWN_LIMITS[send.tier]})"]))
    if examination.delivered:
        sections.append(
            (
                "delivered",
                [f"{finding.recipient}: {finding.action or finding.status}" for finding in examination.delivered],
            )
        )
    for number, (conclusion, outcome) in enumerate(zip(examination.conclusions, judgement.outcomes, strict=False), 1):
        sections.append((f"recipient {number}", _recipient_lines(conclusion, outcome, rulebook)))
    if not examination.conclusions:
        sections += [
            (f"recipient {number}", [f"{outcome.recipient}: {outcome.verdict}", f"event_id {outcome.event_id}"])
            for number, outcome in enumerate(judgement.outcomes, 1)
        ]
    sections.append(
        (
            "result",
            [
                f"kind {judgement.kind}, verdict {judgement.verdict}",
                f"reporting MTA {judgement.reporting_mta or 'unknown'}, campaign {judgement.campaign or 'unknown'}",
            ],
        )
    )
    return sections


def _reading(examination: Examination) -> str:
    anatomy = examination.anatomy
    pieces = [
        f"{anatomy.content_type}, notice of {len(anatomy.notice)} characters, {len(anatomy.reports)} delivery-status",
        "returned message found" if anatomy.returned is not None else "no returned message",
        *examination.mail.cuts,
    ]
    return ", ".join(pieces)


def _recipient_lines(conclusion: Conclusion, outcome: Outcome, rulebook: Rulebook) -> list[str]:
    finding, diagnosis = conclusion.finding, conclusion.diagnosis
    delivered_as = f", delivered as {outcome.final_recipient}" if outcome.final_recipient != outcome.recipient else ""
    reason = REASONS[diagnosis.reason]
    lines = [
        f"{outcome.recipient or 'nobody can tell who'}{delivered_as if outcome.final_recipient else ''}"
        f" (found by: {finding.found_by})",
        f"said: {outcome.diagnostic_code or 'nothing'}",
        f"codes: status {outcome.status or 'none'}, reply {outcome.reply_code or 'none'}, action"
        f" {finding.action or f'not said, taken for {outcome.action}'}, by {outcome.remote_mta or 'a host it does not name'}",
        f"rule {outcome.rule}: “{diagnosis.evidence}”",
        f"reason {diagnosis.reason}: {reason.about}; fault {outcome.fault or 'unknown'}; by itself {reason.verdict}",
    ]
    if contradiction := _contradiction(conclusion):
        lines.append(contradiction)
    if others := [
        match.rule.id for match in rulebook.every(fold(outcome.diagnostic_code or "")) if match.rule.id != outcome.rule
    ]:
        lines.append(f"outranked: {', '.join(others)}")
    lines.append(f"verdict {outcome.verdict}{f': {conclusion.why}' if conclusion.why else ''}")
    lines.append(f"event_id {outcome.event_id}")
    return lines


def _contradiction(conclusion: Conclusion) -> str:
    """Where the code alone would have said another thing than the words."""
    diagnosis = conclusion.diagnosis
    by_code = reason_of_status(diagnosis.status)
    if diagnosis.match is None or not by_code or by_code == diagnosis.reason:
        return ""
    return f"the code {diagnosis.status} alone would say {by_code} ({REASONS[by_code].verdict}): words outrank a code"
