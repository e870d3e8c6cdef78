"""What a message is, by the signs of each kind (RFC 3464, 3834, 5965, 8098), or that it is none of them."""

import re
from dataclasses import dataclass
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.dialects.amazonses import complaining
from services.classifier.rule import fold
from services.classifier.rulebook import WEAK_PRIORITY, own_rulebook
from services.classifier.signs import sign_pattern, sign_words
from shared.contract.vocabulary import Kind

_DAEMON: Final = sign_pattern("daemon")
_SUBJECT: Final = sign_pattern("subject")
_AWAY: Final = sign_pattern("away")
_AUTO: Final = sign_pattern("auto")
_CHALLENGE: Final = sign_pattern("challenge")
_STRONG: Final = sign_words("strong")
_CERTAIN: Final = sign_words("certain")
_DELAY: Final = sign_words("delay")
_FINAL: Final = sign_words("final")
_REPLY_CODE: Final = re.compile(r"(?:^|[\s<:(\"'>])(?:5[0-7]\d[ -]|4[2-5]\d[ -]|#?[45]\.\d{1,2}\.\d{1,3}\b)")
_DOMAIN: Final = re.compile(r"@[^>\s]*")
_REPLY_SUBJECT: Final = re.compile(r"\s*(?:re|aw|sv|antw|fwd?|wg|tr|rv|回复|答复)(?:\[\d+\])?\s?[:：]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recognition:
    kind: Kind
    signs: tuple[str, ...]


def _names_a_reason(notice: str) -> bool:
    """Whether a rule knows what the notice says; asked only where the other signs leave it open."""
    match = own_rulebook().best(fold(notice[:2048]))
    return match is not None and match.rule.priority > WEAK_PRIORITY


def _is_challenge(text: str) -> bool:
    """Boxbe dresses its challenge as a delivery report."""
    return "x-boxbe-notice" in text.lower()


def recognise(anatomy: Anatomy) -> Recognition:
    """The kind of a message and the signs that say so."""
    if anatomy.feedback or anatomy.report_type == "feedback-report":
        return Recognition(Kind.FEEDBACK_REPORT, ("it has a message/feedback-report part (RFC 5965)",))
    if anatomy.content_type == "text/plain" and complaining(anatomy):
        return Recognition(Kind.FEEDBACK_REPORT, ("it is a complaint notification of Amazon SES",))
    if anatomy.disposition or anatomy.report_type == "disposition-notification":
        return Recognition(Kind.MDN, ("it has a disposition notification (RFC 8098)",))
    if any(_is_challenge(text) for text in anatomy.reports):
        return Recognition(Kind.AUTO_REPLY, ("a challenge in the form of a delivery report (Boxbe)",))
    if anatomy.reports:
        return Recognition(Kind.BOUNCE, ("it has a delivery-status part (RFC 3464)",))
    return _recognise_by_signs(anatomy, anatomy.head.decoded("subject")[:300].lower())


def _recognise_by_signs(anatomy: Anatomy, subject: str) -> Recognition:
    head = anatomy.head
    notice = anatomy.notice[:16_384].lower()
    sender = head.decoded("from")[:300].lower()
    signs: list[str] = []
    score = 0
    if "x-failed-recipients" in head:
        score += 3
        signs.append("X-Failed-Recipients")
    from_daemon = _DAEMON.search(sender) is not None
    if from_daemon:
        score += 2
        signs.append(f"From: {sender[:60]}")
    if _is_null_return_path(anatomy) or not sender.strip("<> "):
        score += 1
        signs.append("no sender")
    if _SUBJECT.search(subject):
        score += 2
        signs.append(f"Subject: {subject[:60]}")
    if anatomy.report_type == "delivery-status":
        score += 2
        signs.append("report-type=delivery-status")
    if found := _STRONG.search(notice):
        score += 2 if _CERTAIN.search(notice) else 1
        signs.append(f"“{found.group(0)}”")
    reply = _REPLY_CODE.search(notice)
    speaks = found or reply or "x-failed-recipients" in head
    if reply:
        score += 1
        signs.append("an SMTP reply")
    if anatomy.returned is not None:
        score += 1
        signs.append("a returned message")
    if _REPLY_SUBJECT.match(subject):
        score -= 2
    # A list's own daemon sends reports with the list's headers; a newsletter from mailadmin.example is no daemon's.
    is_bulk = any(name in head for name in ("list-unsubscribe", "list-id", "list-post"))
    if is_bulk and not _DAEMON.search(_DOMAIN.sub("@", sender)):
        score -= 3
    if score < 5 and (away := _AWAY.search(subject)):
        return Recognition(Kind.VACATION, (f"“{away.group(0)}”",))
    if score < 4 and (automatic := _is_automatic(anatomy, subject)):
        if away := _AWAY.search(notice[:4096]):
            return Recognition(Kind.VACATION, (automatic, f"“{away.group(0)}”"))
        return Recognition(Kind.AUTO_REPLY, (automatic,))
    is_mute = not notice.strip() and score >= 5  # the subject and the sender are all there is
    if score >= 4 and (speaks or is_mute or score >= 6 or _names_a_reason(notice)):
        if _CHALLENGE.search(subject) and not found:
            return Recognition(Kind.AUTO_REPLY, ("it asks the sender to confirm",))
        return Recognition(Kind.BOUNCE, tuple(signs))
    return Recognition(Kind.NOT_BOUNCE, tuple(signs) or ("nothing says that a delivery failed",))


def _is_null_return_path(anatomy: Anatomy) -> bool:
    return anatomy.head.first("return-path").replace(" ", "") == "<>"


def _is_automatic(anatomy: Anatomy, subject: str) -> str:
    """RFC 3834 and its older kin; the sign found, or ''."""
    head = anatomy.head
    if head.first("auto-submitted").lower().startswith("auto-replied"):
        return "Auto-Submitted: auto-replied (RFC 3834)"
    for name in ("x-autoreply", "x-autorespond", "x-auto-reply", "x-mail-autoreply"):
        if name in head:
            return name
    if head.first("precedence").strip().lower() in ("auto_reply", "auto-reply"):
        return "Precedence: auto_reply"
    found = _AUTO.search(subject)
    if found:
        return f"Subject: {found.group(0)}"
    return ""


def says_delay(text: str) -> str:
    """The words of a notice that say delivery is still being tried, '' when there are none or it has ended."""
    lowered = text[:16_384].lower()
    found = _DELAY.search(lowered)
    if found and not _FINAL.search(lowered):
        return str(found.group(0))
    return ""
