"""Why it failed: from the reply first, then what the notice says, then the codes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.matching import Matcher
from services.classifier.reasons import REASONS
from services.classifier.rulebook import VETO_LIMIT, WEAK_PRIORITY, Match
from services.classifier.signs import Signs
from services.classifier.status import best_status, find_reply_code, find_status, reason_of_status
from shared.contract.vocabulary import Fault

STAGE_LIMIT: Final = 8_192
REPLIES_LIMIT: Final = 8
_NOTICES: Final = 4
"""A notice that speaks of a thousand recipients is read once."""

_REPLY_START: Final = re.compile(
    r"[45](?<![^\s:<\"'(>][45])[0-5]\d[ \-](?!bytes|characters|kb|mb|messages|hours|seconds|minutes|days)",
    re.IGNORECASE,
)
_STAGES: Final = ("connect", "mail", "data", "rcpt")
_SIGNS: Final = Signs(*_STAGES)
_STAGED: Final = frozenset({"user-unknown", "suspend", "filtered", "host-unknown"})
_UNSAID: Final = frozenset({"on-hold", "undefined"})
_BEFORE_RECIPIENT: Final = {"connect": "blocked", "mail": "rejected"}
"""Where no recipient was named yet: the host was refused, or the sender."""
_UNKNOWN_CODES: Final = frozenset({"5.1.1", "5.1.10", "5.1.6"})
_OCTAL: Final = re.compile(r"(?:\\[0-3][0-7]{2})+")


@dataclass(slots=True)
class Diagnosis:
    reason: str
    rule: str
    evidence: str
    status: str
    reply_code: str
    match: Match | None = None


def diagnose(finding: Finding, anatomy: Anatomy, matcher: Matcher) -> Diagnosis:
    """The first text that a rule above the vague ones recognises, from the surest to the widest; else codes; else vague.

    Where the report quotes a reply nothing else is asked: servers add their own guesses to it (Sendmail writes "User
    unknown" below any 550, Courier mentions attachments).
    """
    diagnostic = unescape(finding.diagnostic)
    reply_code = find_reply_code(diagnostic)
    has_reply = bool(reply_code) and len(diagnostic) > 12
    if has_reply:
        section, replies, texts = "", "", [diagnostic]
    else:
        section = finding.section or anatomy.notice
        replies = quoted_replies(section)
        reply_code = reply_code or find_reply_code(replies)
        texts = [diagnostic, replies, section, finding.shared]
    spoken = diagnostic or replies or section
    status = best_status(finding.status, spoken)
    plain_status = reason_of_status(finding.status)

    def stage() -> str:
        return find_stage(diagnostic) or find_stage(finding.section or anatomy.notice)

    weak: Match | None = None
    first = ""
    for number, text in enumerate(texts):
        if not text:
            continue
        folded = matcher.fold(text)
        first = first or folded
        match = matcher.best(folded, finding.remote_mta, diagnostic if has_reply else section)
        if matcher.is_exhausted:  # words that nobody read may say anything: no code makes a hard of them
            return Diagnosis("on-hold", "not-read", folded[:200], status, reply_code)
        if match is not None and number >= 2 and plain_status and REASONS[match.rule.reason].fault == Fault.CONTENT:
            continue  # a company's disclaimer below the notice speaks of viruses and offensive content
        if match is not None and match.rule.priority > WEAK_PRIORITY:
            # A provider's own rule knows what the provider means, whatever its codes and when it says so.
            is_sure = match.rule.priority >= VETO_LIMIT
            reason = reason_at_stage(match.rule.reason, status, stage, is_sure=is_sure)
            return Diagnosis(reason, match.rule.id, match.words, status, reply_code, match)
        weak = weak or match
    # Sendmail makes 5.1.1 of any bare 550: where a reply without an enhanced code is quoted, the field is a guess.
    codes = (find_status(diagnostic),) if has_reply else (find_status(replies), finding.status, status)
    for code in dict.fromkeys(codes):
        if reason := reason_of_status(code):
            return Diagnosis(reason_at_stage(reason, status, stage), f"status-{code}", code, status, reply_code)
    if weak is not None:
        reason = reason_at_stage(weak.rule.reason, status, stage)
        return Diagnosis(reason, weak.rule.id, weak.words, status, reply_code, weak)
    reason = reason_at_stage("on-hold", status, stage) if first else "undefined"
    return Diagnosis(reason, "no-rule", first[:200], status, reply_code)


@lru_cache(maxsize=_NOTICES)
def find_stage(text: str) -> str:
    """What was answered: 'connect' (the host, HELO), 'mail', 'rcpt', 'data', or '' where nobody says."""
    found = _SIGNS.look(" ".join(text[:STAGE_LIMIT].lower().split()))
    return next((stage for stage in _STAGES if stage in found), "")


def reason_at_stage(reason: str, status: str, find: Callable[[], str], *, is_sure: bool = False) -> str:
    """What a word means at the stage it was said.

    A reply to HELO or MAIL FROM is never about the recipient, even where it gives no reason. An unknown user is one
    when the code agrees, RCPT was answered or the rule is sure; refused after DATA, or by a mailbox that is there
    (5.2.x), it is what the trade calls filtered.
    """
    if reason not in _STAGED and reason not in _UNSAID:
        return reason
    stage = find()
    if stage in _BEFORE_RECIPIENT:
        return _BEFORE_RECIPIENT[stage]
    if is_sure or reason != "user-unknown" or status in _UNKNOWN_CODES:
        return reason
    return "filtered" if stage == "data" or (status.startswith("5.2.") and stage != "rcpt") else reason


@lru_cache(maxsize=_NOTICES)
def quoted_replies(text: str) -> str:
    """What a notice quotes of SMTP: from each reply code to the end of its paragraph."""
    pieces: list[str] = []
    position = 0
    while len(pieces) < REPLIES_LIMIT:
        found = _REPLY_START.search(text, position)
        if found is None:
            break
        end = text.find("\n\n", found.end())
        end = len(text) if end < 0 else end
        pieces.append(text[found.start() : end])
        position = end
    return "\n".join(pieces)


def unescape(text: str) -> str:
    """Exim writes bytes beyond ASCII as octal escapes."""
    if "\\" not in text:
        return text

    def decode(found: re.Match[str]) -> str:
        data = bytes(int(digits, 8) for digits in found.group(0).split("\\")[1:])
        return data.decode("utf-8", "replace")

    return _OCTAL.sub(decode, text)
