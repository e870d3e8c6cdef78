"""What a message is, by the signs of each kind (RFC 3464, 3834, 5965, 8098), or that it is none of them."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.dialects.amazonses import complaining
from services.classifier.rule import fold
from services.classifier.rulebook import WEAK_PRIORITY, Rulebook
from services.classifier.signs import Signs
from shared.contract.vocabulary import Kind

_SENDER: Final = Signs("daemon")
_SUBJECT: Final = Signs("subject", "away", "auto", "challenge")
_NOTICE: Final = Signs("strong", "certain", "reply", "delay", "final", "own")
_AWAY: Final = Signs("away")
SCAN_LIMIT: Final = 16_384

# A person forwards what a daemon wrote.
_FORWARDED: Final = re.compile(
    r"^[> *]{0,8}(?:From|Von|De):[^\n]{0,80}(?:daemon|postmaster|delivery)", re.IGNORECASE | re.MULTILINE
)
_LOCAL_PART: Final = re.compile(r"([^\s<\"(]*)@")
_REPLY_SUBJECT: Final = re.compile(r"\s*(?:re|aw|sv|antw|fwd?|wg|tr|rv|回复|答复)(?:\[\d+\])?\s?[:：]", re.IGNORECASE)


@dataclass(slots=True)
class Recognition:
    kind: Kind
    signs: tuple[str, ...]


def _names_a_reason(notice: str, rulebook: Rulebook, besides: str = "") -> bool:
    """Whether a rule knows what the notice says; asked only where the other signs leave it open."""
    match = rulebook.best(fold(notice[:2048]))
    return match is not None and match.rule.priority > WEAK_PRIORITY and match.rule.reason != besides


def _is_challenge(text: str) -> bool:
    """Boxbe dresses its challenge as a delivery report."""
    return "x-boxbe-notice" in text.lower()


def recognise(anatomy: Anatomy, rulebook: Rulebook) -> Recognition:
    """The kind of a message and the signs that say so."""
    if anatomy.feedback or anatomy.report_type == "feedback-report":
        return Recognition(Kind.FEEDBACK_REPORT, ("it has a message/feedback-report part (RFC 5965)",))
    if anatomy.content_type == "text/plain" and not anatomy.reports and complaining(anatomy):
        return Recognition(Kind.FEEDBACK_REPORT, ("it is a complaint notification of Amazon SES",))
    if anatomy.disposition or anatomy.report_type == "disposition-notification":
        return Recognition(Kind.MDN, ("it has a disposition notification (RFC 8098)",))
    if any(_is_challenge(text) for text in anatomy.reports):
        return Recognition(Kind.AUTO_REPLY, ("a challenge in the form of a delivery report (Boxbe)",))
    if anatomy.reports and not anatomy.has_fields_in_text:
        return Recognition(Kind.BOUNCE, ("it has a delivery-status part (RFC 3464)",))
    return _recognise_by_signs(anatomy, rulebook)


def _recognise_by_signs(anatomy: Anatomy, rulebook: Rulebook) -> Recognition:
    head, notice = anatomy.head, anatomy.notice
    sender = head.decoded("from")[:300].lower()
    subject = head.decoded("subject")[:300].lower()
    in_subject, in_notice = _look_at_subject(subject), _look_at(notice)
    is_from_daemon = bool(_SENDER.look(sender))
    strong = in_notice.get("strong", "")
    signs: list[str] = []
    score = 0
    is_nobody = _is_null_return_path(anatomy) or not sender.strip("<> ")
    for worth, applies, sign in (
        (3, anatomy.has_fields_in_text, "the fields of a delivery report (RFC 3464) in the text"),
        (3, "x-failed-recipients" in head, "X-Failed-Recipients"),
        (2, is_from_daemon, f"From: {sender[:60]}"),
        (1, is_nobody, "no sender"),
        (2, "subject" in in_subject, f"Subject: {subject[:60]}"),
        (2, anatomy.report_type == "delivery-status", "report-type=delivery-status"),
        (2 if "certain" in in_notice else 1, strong, f"“{strong}”"),
        (1, "reply" in in_notice, "an SMTP reply"),
        (1, anatomy.returned is not None, "a returned message"),
    ):
        if applies:
            score += worth
            signs.append(sign)
    speaks = strong or "reply" in in_notice or "x-failed-recipients" in head
    if _REPLY_SUBJECT.match(subject) and not is_from_daemon:
        score -= 2
    # A list's own daemon sends reports with the list's headers; a newsletter from mailadmin.example is no daemon's.
    is_bulk = any(name in head for name in ("list-unsubscribe", "list-id", "list-post"))
    if is_bulk and not _SENDER.look(_local_part(sender)):
        score -= 6
    if score < 5 and "away" in in_subject:
        return Recognition(Kind.VACATION, (f"Subject: {subject[:60]}",))
    is_own_account = is_from_daemon or anatomy.returned is not None or "x-failed-recipients" in head
    if (score < 4 or not is_own_account) and (automatic := _is_automatic(anatomy, in_subject)):
        if away := _AWAY.look(notice[:4096].lower()):
            return Recognition(Kind.VACATION, (automatic, f"“{away['away']}”"))
        return Recognition(Kind.AUTO_REPLY, (automatic,))
    is_machine = (
        is_from_daemon
        or (anatomy.has_fields_in_text and _FORWARDED.search(notice) is not None)
        or is_nobody
        or "x-failed-recipients" in head
        or anatomy.report_type == "delivery-status"
    )
    speaks_of_nobody = anatomy.returned is None and "reply" not in in_notice and "@" not in notice
    # The owner of the mailbox is told about it, or a person wrote, who has a return path.
    is_owner_told = "own" in in_notice and anatomy.returned is None and (speaks_of_nobody or not is_nobody)
    if is_owner_told or (speaks_of_nobody and not (is_nobody or _SENDER.look(_local_part(sender)))):
        return Recognition(Kind.NOT_BOUNCE, ("it names no address, quotes no server and returns nothing",))
    is_mute = not notice.strip() and score >= 5  # the subject and the sender are all there is
    if (
        score == 3
        and is_from_daemon
        and is_nobody
        and "@" in notice
        and _names_a_reason(notice, rulebook, besides="has-moved")
    ):
        return Recognition(Kind.BOUNCE, (*signs, "a reason that a rule knows"))
    if (
        score >= 4
        and (is_machine or anatomy.returned is not None)
        and (speaks or is_mute or score >= 6 or _names_a_reason(notice, rulebook))
    ):
        if "challenge" in in_subject and not strong:
            return Recognition(Kind.AUTO_REPLY, ("it asks the sender to confirm",))
        return Recognition(Kind.BOUNCE, tuple(signs))
    return Recognition(Kind.NOT_BOUNCE, tuple(signs) or ("nothing says that a delivery failed",))


def _local_part(sender: str) -> str:
    """What stands before the @ of a From, with the @; the whole where there is none."""
    found = _LOCAL_PART.search(sender)
    return found.group(0) if found else sender


def _is_null_return_path(anatomy: Anatomy) -> bool:
    return anatomy.head.first("return-path").replace(" ", "") == "<>"


def _is_automatic(anatomy: Anatomy, in_subject: dict[str, str]) -> str:
    """RFC 3834 and its older kin; the sign found, or ''."""
    head = anatomy.head
    if (submitted := head.first("auto-submitted").lower()).startswith(("auto-replied", "auto-generated")):
        return f"Auto-Submitted: {submitted[:40]} (RFC 3834)"
    for name in ("x-autoreply", "x-autorespond", "x-auto-reply", "x-mail-autoreply"):
        if name in head:
            return name
    if head.first("precedence").strip().lower() in ("auto_reply", "auto-reply"):
        return "Precedence: auto_reply"
    return f"Subject: {in_subject['auto']}" if "auto" in in_subject else ""


@lru_cache(maxsize=512)
def _look_at_subject(subject: str) -> dict[str, str]:
    """A server gives all its reports one subject."""
    return _SUBJECT.look(subject)


@lru_cache(maxsize=2)
def _look_at(notice: str) -> dict[str, str]:
    return _NOTICE.look(notice[:SCAN_LIMIT].lower())


def says_delay(text: str) -> str:
    """The words of a notice that say delivery is still being tried, '' when there are none or it has ended."""
    found = _look_at(text)
    return found["delay"] if "delay" in found and "final" not in found else ""
