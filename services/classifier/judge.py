"""The classifier's one entry: the bytes of a message in, a judgement out. Pure, and it never raises."""

import re
from dataclasses import dataclass, field
from typing import Final

from services.classifier.anatomy import Anatomy, dissect
from services.classifier.decide import decide
from services.classifier.diagnosis import Diagnosis, diagnose
from services.classifier.extraction import extract
from services.classifier.feedback import read_feedback
from services.classifier.identity import Send, identify_send
from services.classifier.judgement import Finding, Judgement, Outcome
from services.classifier.kinds import Recognition, recognise, says_delay
from services.classifier.matching import Matcher
from services.classifier.reader import Mail, read
from services.classifier.reasons import REASONS
from services.classifier.recipients import clean_address
from services.classifier.reports import read_report
from services.classifier.returned import find_campaign
from services.classifier.rulebook import Rulebook, own_rulebook
from services.classifier.status import find_status
from shared.contract.vocabulary import Kind, MessageVerdict, Verdict, message_verdict

DIAGNOSTIC_LIMIT_BYTES: Final = 2_048
RECIPIENTS_LIMIT: Final = 1_000
_ACTIONS: Final = frozenset({"failed", "delayed"})
_SUCCESS: Final = frozenset({"delivered", "relayed", "expanded", "deliverable"})
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(slots=True)
class Conclusion:
    """What was made of one finding. `why`, in words, when the verdict is not its reason's."""

    finding: Finding
    diagnosis: Diagnosis
    verdict: Verdict
    why: str


@dataclass(slots=True)
class Examination:
    """A message with what every stage made of it, for `explain`."""

    mail: Mail
    anatomy: Anatomy
    recognition: Recognition
    judgement: Judgement
    send: Send | None = None
    delivered: list[Finding] = field(default_factory=list)
    conclusions: list[Conclusion] = field(default_factory=list)


def judge(raw: bytes, rulebook: Rulebook | None = None) -> Judgement:
    """What a message is, and what became of each recipient it reports."""
    return examine(raw, rulebook).judgement


def examine(raw: bytes, rulebook: Rulebook | None = None) -> Examination:
    """Every stage in order: read, recognise the kind, name the send, extract, diagnose, decide."""
    rulebook = rulebook or own_rulebook()
    mail = read(raw)
    anatomy = dissect(mail)
    recognition = recognise(anatomy, rulebook)
    kind = recognition.kind
    campaign = find_campaign(anatomy.returned)
    if kind not in (Kind.BOUNCE, Kind.FEEDBACK_REPORT):
        return Examination(mail, anatomy, recognition, Judgement(kind, message_verdict(kind, ()), None, campaign, ()))

    reports = [read_report(text) for text in anatomy.reports]
    reporting_mta = next((report.reporting_mta for report in reports if report.reporting_mta), "")
    envelope_id = next((report.envelope_id for report in reports if report.envelope_id), "")
    send = identify_send(raw, anatomy.head, anatomy.returned, envelope_id, reporting_mta)
    if kind == Kind.FEEDBACK_REPORT:
        return Examination(mail, anatomy, recognition, _judge_complaint(anatomy, send, campaign), send)

    delivered: list[Finding] = []
    failures: list[Finding] = []
    for finding in extract(anatomy, reports):
        (delivered if _is_delivered(finding) else failures).append(finding)
    if delivered and not failures:
        judgement = Judgement(Kind.NOT_BOUNCE, MessageVerdict.IGNORE, reporting_mta or None, campaign, ())
        return Examination(mail, anatomy, recognition, judgement, send, delivered)
    is_open = not any(finding.action == "failed" for finding in failures)
    action_of_all = "delayed" if is_open and says_delay(anatomy.notice) else "failed"
    reporting_host = reporting_mta or clean_address(anatomy.head.first("from")).rpartition("@")[2]
    matcher = Matcher(rulebook, reporting_host, mail.cuts)
    conclusions: list[Conclusion] = []
    outcomes: list[Outcome] = []
    for finding in failures[:RECIPIENTS_LIMIT]:
        diagnosis = diagnose(finding, anatomy, matcher)
        action = finding.action if finding.action in _ACTIONS else action_of_all
        conclusion = Conclusion(finding, diagnosis, *decide(diagnosis, action))
        conclusions.append(conclusion)
        outcomes.append(_outcome(conclusion, action, anatomy, send, mail.cuts))
    if outcomes and all(outcome.action == "delayed" for outcome in outcomes):
        kind = Kind.DELAY_NOTICE
    verdict = message_verdict(kind, [outcome.verdict for outcome in outcomes])
    judgement = Judgement(kind, verdict, reporting_mta or None, campaign, tuple(outcomes))
    return Examination(mail, anatomy, recognition, judgement, send, delivered, conclusions)


def _is_delivered(finding: Finding) -> bool:
    if finding.action in _SUCCESS:
        return True
    status = finding.status or find_status(finding.diagnostic)
    return not finding.action and status.startswith("2.")


def _outcome(conclusion: Conclusion, action: str, anatomy: Anatomy, send: Send, cuts: list[str]) -> Outcome:
    finding, diagnosis = conclusion.finding, conclusion.diagnosis
    recipient = finding.recipient or None
    return Outcome(
        event_id=send.event_id(recipient),
        tier=send.tier,
        recipient=recipient,
        final_recipient=finding.final_recipient or None,
        verdict=conclusion.verdict,
        reason=diagnosis.reason,
        fault=REASONS[diagnosis.reason].fault,
        action=action,
        status=diagnosis.status or None,
        reply_code=diagnosis.reply_code or None,
        diagnostic_code=_bounded(finding.diagnostic or finding.section or anatomy.notice) or None,
        remote_mta=finding.remote_mta or None,
        rule=diagnosis.rule,
        evidence=_bounded("; ".join(filter(None, (diagnosis.evidence, conclusion.why, *cuts)))),
    )


def _judge_complaint(anatomy: Anatomy, send: Send, campaign: str | None) -> Judgement:
    complaint = read_feedback(anatomy)
    outcomes = tuple(
        Outcome(
            send.event_id(recipient), send.tier, recipient, None, Verdict.COMPLAINT, "feedback", REASONS["feedback"].fault,
            None, None, None, None, None, "rfc5965", _bounded(complaint.feedback_type) or "feedback-report",
        )
        for recipient in complaint.recipients
    )  # fmt: skip
    verdict = message_verdict(Kind.FEEDBACK_REPORT, [outcome.verdict for outcome in outcomes])
    return Judgement(Kind.FEEDBACK_REPORT, verdict, complaint.reporting_mta or None, campaign, outcomes)


def _bounded(text: str) -> str:
    """One line of at most 2 KB without control characters."""
    line = " ".join(text[: DIAGNOSTIC_LIMIT_BYTES * 2].split())
    if not line.isprintable():
        line = " ".join(_CONTROLS.sub(" ", line).split())
    if len(line) * 4 <= DIAGNOSTIC_LIMIT_BYTES:
        return line
    return line.encode("utf-8", "replace")[:DIAGNOSTIC_LIMIT_BYTES].decode("utf-8", "ignore")
