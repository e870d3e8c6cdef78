"""The classifier's one entry: the bytes of a message in, a judgement out. Pure, and it never raises."""

import re
from typing import Final

from services.classifier.anatomy import Anatomy, dissect
from services.classifier.decide import decide
from services.classifier.diagnosis import diagnose
from services.classifier.dialects import read_dialect
from services.classifier.feedback import read_feedback
from services.classifier.identity import KNOWN_LIMITS, Send, identify_send
from services.classifier.judgement import Finding, Judgement, Outcome, Step
from services.classifier.kinds import recognise, says_delay
from services.classifier.reader import Mail, read
from services.classifier.reasons import REASONS
from services.classifier.recipients import clean_address
from services.classifier.reports import Report, read_report
from services.classifier.returned import find_campaign, senders, sole_recipient
from services.classifier.rulebook import own_rulebook
from services.classifier.status import find_status
from services.classifier.text import any_address, read_notice
from shared.contract.vocabulary import Kind, Verdict, message_verdict

DIAGNOSTIC_LIMIT_BYTES: Final = 2_048
RECIPIENTS_LIMIT: Final = 1_000
_ACTIONS: Final = frozenset({"failed", "delayed"})
_SUCCESS: Final = frozenset({"delivered", "relayed", "expanded", "deliverable"})
_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def judge(raw: bytes) -> Judgement:
    """What a message is, and what became of each recipient it reports."""
    trace: list[Step] = []
    mail = read(raw)
    anatomy = dissect(mail)
    _trace_reading(mail, anatomy, trace)
    recognition = recognise(anatomy)
    kind = recognition.kind
    trace.append(Step("kind", f"{kind}: {'; '.join(recognition.signs)}"))
    campaign = find_campaign(anatomy.returned)
    if kind not in (Kind.BOUNCE, Kind.FEEDBACK_REPORT):
        return Judgement(kind, message_verdict(kind, set()), None, campaign, (), tuple(trace))

    reports = [read_report(text) for text in anatomy.reports[:16]]
    reporting_mta = next((report.reporting_mta for report in reports if report.reporting_mta), "")
    envelope_id = next((report.envelope_id for report in reports if report.envelope_id), "")
    send = identify_send(raw, anatomy.head, anatomy.returned, envelope_id, reporting_mta)
    trace.append(Step("identity", f"tier {send.tier}: {send.source} ({KNOWN_LIMITS[send.tier]})"))
    if kind == Kind.FEEDBACK_REPORT:
        return _judge_complaint(anatomy, send, campaign, trace)

    findings = extract(anatomy, reports)
    for finding in findings:
        if (finding.status or find_status(finding.diagnostic)).startswith("2.") and finding.action != "failed":
            finding.action = finding.action or "delivered"
    for finding in findings:
        trace.append(
            Step(
                "recipient",
                f"{finding.recipient or '(nobody can tell)'} by {finding.found_by}, action {finding.action or 'not said'}",
            )
        )
    if findings and all(finding.action in _SUCCESS for finding in findings):
        trace.append(Step("kind", "not-bounce: every recipient it reports was delivered to"))
        return Judgement(
            Kind.NOT_BOUNCE, message_verdict(Kind.NOT_BOUNCE, set()), reporting_mta or None, campaign, (), tuple(trace)
        )
    failures = [finding for finding in findings if finding.action not in _SUCCESS]
    delay_words = says_delay(anatomy.notice) if not any(finding.action == "failed" for finding in failures) else ""
    outcomes = tuple(
        _conclude(finding, anatomy, reporting_mta, send, delay_words, mail.cuts, trace)
        for finding in failures[:RECIPIENTS_LIMIT]
    )
    if outcomes and all(outcome.action == "delayed" for outcome in outcomes):
        kind = Kind.DELAY_NOTICE
        trace.append(Step("kind", "delay-notice: every recipient is still being tried"))
    verdict = message_verdict(kind, {outcome.verdict for outcome in outcomes})
    return Judgement(kind, verdict, reporting_mta or None, campaign, outcomes, tuple(trace))


def extract(anatomy: Anatomy, reports: list[Report]) -> list[Finding]:
    """One finding a recipient: from reports, a dialect, a header that lists them, the notice, or the returned message."""
    ours = senders(anatomy.head, anatomy.returned)
    findings = _merge([finding for report in reports for finding in report.findings])
    named = [finding for finding in findings if finding.recipient]
    if named:
        _add_sections(anatomy, named, ours)
        return named
    if dialect := read_dialect(anatomy):
        return dialect
    listed = [
        clean_address(value)
        for header in anatomy.head.all("x-failed-recipients")
        for value in header.split(",")[:RECIPIENTS_LIMIT]
    ]
    found = read_notice(anatomy.notice, ours, [address for address in listed if address])
    if not found:
        address = sole_recipient(anatomy.returned) or any_address(anatomy.notice, ours)
        found = [
            Finding(
                recipient=address, section=anatomy.notice, found_by="the only other address" if address else "nothing"
            )
        ]
    if findings:
        # slimta reports without Final-Recipient: the report tells what happened, the notice to whom.
        for finding, report in zip(found, findings * len(found) if len(findings) == 1 else findings, strict=False):
            finding.action, finding.status = report.action, report.status
            finding.diagnostic, finding.remote_mta = report.diagnostic, report.remote_mta
    return found


def _add_sections(anatomy: Anatomy, named: list[Finding], ours: frozenset[str]) -> None:
    if len(named) == 1:
        named[0].section = anatomy.notice
        return
    sections = read_notice(anatomy.notice, ours, [finding.final_recipient or finding.recipient for finding in named])
    by_address = {section.recipient: section for section in sections}
    for finding in named:
        if section := by_address.get(finding.final_recipient or finding.recipient):
            finding.section, finding.shared = section.section, section.shared


def _merge(findings: list[Finding]) -> list[Finding]:
    """One finding a recipient; a failure outlives a delay, and a later group fills what an earlier left out."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        key = finding.recipient or f"?{len(merged)}"
        earlier = merged.get(key)
        if earlier is None or (earlier.action != "failed" and finding.action == "failed"):
            merged[key] = finding
        elif not earlier.diagnostic:
            earlier.diagnostic = finding.diagnostic
    return list(merged.values())


def _conclude(
    finding: Finding,
    anatomy: Anatomy,
    reporting_mta: str,
    send: Send,
    delay_words: str,
    cuts: list[str],
    trace: list[Step],
) -> Outcome:
    diagnosis = diagnose(finding, "" if finding.section else anatomy.notice, own_rulebook(), reporting_mta)
    action = finding.action if finding.action in _ACTIONS else ("delayed" if delay_words else "failed")
    verdict, why = decide(diagnosis, action)
    recipient = finding.recipient or None
    trace.append(Step("reason", f"{recipient}: {diagnosis.reason} by rule {diagnosis.rule}: “{diagnosis.evidence}”"))
    trace.append(
        Step(
            "verdict",
            f"{recipient}: {verdict}{', ' + why if why else ''}"
            f" (status {diagnosis.status or 'none'}, reply {diagnosis.reply_code or 'none'})",
        )
    )
    evidence = _bounded("; ".join(filter(None, (diagnosis.evidence, why, *cuts))))
    return Outcome(
        event_id=send.event_id(recipient),
        tier=send.tier,
        recipient=recipient,
        final_recipient=finding.final_recipient or None,
        verdict=verdict,
        reason=diagnosis.reason,
        fault=REASONS[diagnosis.reason].fault,
        action=action,
        status=diagnosis.status or None,
        reply_code=diagnosis.reply_code or None,
        diagnostic_code=_bounded(finding.diagnostic or finding.section) or None,
        remote_mta=finding.remote_mta or None,
        rule=diagnosis.rule,
        evidence=evidence,
    )


def _judge_complaint(anatomy: Anatomy, send: Send, campaign: str | None, trace: list[Step]) -> Judgement:
    complaint = read_feedback(anatomy)
    outcomes = tuple(
        Outcome(
            send.event_id(recipient), send.tier, recipient, None, Verdict.COMPLAINT, "feedback", REASONS["feedback"].fault,
            None, None, None, None, None, "rfc5965", _bounded(complaint.feedback_type) or "feedback-report",
        )
        for recipient in complaint.recipients
    )  # fmt: skip
    verdict = message_verdict(Kind.FEEDBACK_REPORT, {outcome.verdict for outcome in outcomes})
    trace.append(Step("recipient", ", ".join(complaint.recipients) or "the report does not say who complained"))
    return Judgement(Kind.FEEDBACK_REPORT, verdict, complaint.reporting_mta or None, campaign, outcomes, tuple(trace))


def _trace_reading(mail: Mail, anatomy: Anatomy, trace: list[Step]) -> None:
    pieces = [
        f"{anatomy.content_type}, notice of {len(anatomy.notice)} characters, {len(anatomy.reports)} delivery-status"
    ]
    pieces.append("returned message found" if anatomy.returned is not None else "no returned message")
    trace.append(Step("read", ", ".join(pieces + mail.cuts)))


def _bounded(text: str) -> str:
    """One line of at most 2 KB without control characters."""
    line = _SPACES.sub(" ", text[: DIAGNOSTIC_LIMIT_BYTES * 2]).strip()
    return line.encode("utf-8", "replace")[:DIAGNOSTIC_LIMIT_BYTES].decode("utf-8", "ignore")
