"""Reason, codes and action to a verdict. A hard needs evidence that this address failed for good."""

from typing import Final

from services.classifier.diagnosis import Diagnosis
from services.classifier.reasons import REASONS
from shared.contract.vocabulary import Verdict

# Final whatever code says it: a name that does not exist, a domain that takes no mail. Gmail says both with 4.0.0, so only
# a reply code, which is the receiving server's own word, can make them temporary.
_FINAL_BY_TEXT: Final = frozenset({"host-unknown", "not-accept"})


def decide(diagnosis: Diagnosis, action: str) -> tuple[Verdict, str]:
    """The verdict, and in words what made it another than its reason's."""
    if action == "delayed":
        return Verdict.SOFT, "still being tried"
    match = diagnosis.match
    verdict = REASONS[diagnosis.reason].verdict
    if match is not None and match.rule.verdict is not None:
        verdict = match.rule.verdict
    is_final = diagnosis.reason in _FINAL_BY_TEXT and not diagnosis.reply_code.startswith("4")
    if verdict is Verdict.HARD and not is_final and _is_temporary(diagnosis):
        return Verdict.SOFT, f"a temporary code ({diagnosis.reply_code or diagnosis.status}) is not for good"
    if verdict is Verdict.UNIDENTIFIED and _is_temporary(diagnosis):
        return Verdict.SOFT, f"a temporary code ({diagnosis.reply_code or diagnosis.status})"
    return verdict, ""


def _is_temporary(diagnosis: Diagnosis) -> bool:
    """A 4xx reply, or a 4.x.x status where no reply says otherwise (RFC 3463 §3.1)."""
    if diagnosis.reply_code:
        return diagnosis.reply_code[0] == "4"
    return diagnosis.status.startswith("4.")
