"""The words of the contract: what a message can be, and what can have become of a recipient."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a message is."""

    BOUNCE = "bounce"
    """A report of a failure, RFC 3464 or not."""
    DELAY_NOTICE = "delay-notice"
    """Every recipient in it is still being tried (RFC 3464 §2.3.3, action delayed)."""
    FEEDBACK_REPORT = "feedback-report"
    """RFC 5965."""
    AUTO_REPLY = "auto-reply"
    """RFC 3834, challenges too."""
    VACATION = "vacation"
    MDN = "mdn"
    """A disposition notification, RFC 8098."""
    NOT_BOUNCE = "not-bounce"


class Verdict(StrEnum):
    """What became of the mail to one recipient."""

    HARD = "hard"
    SOFT = "soft"
    UNIDENTIFIED = "unidentified"
    COMPLAINT = "complaint"


class MessageVerdict(StrEnum):
    """What a message comes to: the worst of its outcomes."""

    HARD = "hard"
    SOFT = "soft"
    UNIDENTIFIED = "unidentified"
    IGNORE = "ignore"


class Fault(StrEnum):
    """Who can mend it."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    CONTENT = "content"
    NETWORK = "network"
    POLICY = "policy"


WORST_FIRST: Final = (Verdict.HARD, Verdict.SOFT, Verdict.UNIDENTIFIED)


def message_verdict(kind: str, outcome_verdicts: Collection[str]) -> MessageVerdict:
    """The worst outcome; without outcomes a bounce is unidentified and all else is ignored, as complaints are."""
    for verdict in WORST_FIRST:
        if verdict in outcome_verdicts:
            return MessageVerdict(verdict)
    if kind == Kind.BOUNCE and Verdict.COMPLAINT not in outcome_verdicts:
        return MessageVerdict.UNIDENTIFIED
    return MessageVerdict.IGNORE
