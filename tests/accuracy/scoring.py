"""How right the classifier is on a folder of labelled mails: messages/*.eml and labels.jsonl, an object a line.

A label: `id` (the file's name without .eml), `verdict` of the message, `outcomes` (each `recipient`, `verdict`, `reason`,
and optionally `aliases`, `original_recipient`, `alt_verdicts`, `sisimai_reason`), `alt_verdicts` (other answers that can be
defended), `tolerated` (addresses that may be reported beside), `reason_scored` (whether the reasons are an expectation).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.classifier.judge import judge
from services.classifier.judgement import Judgement

WORST_FIRST: Final = ("hard", "soft", "unidentified")


@dataclass(slots=True)
class Score:
    """Counts; `wrong` tells each difference in words."""

    messages: int = 0
    verdicts_right: int = 0
    verdicts_defensible: int = 0
    with_recipients: int = 0
    recipients_exact: int = 0
    hards: int = 0
    hards_found: int = 0
    hards_reported: int = 0
    false_hards: int = 0
    indefensible_hards: int = 0
    ordinary: int = 0
    ordinary_taken_for_bounces: int = 0
    bounces: int = 0
    bounces_missed: int = 0
    reasons: int = 0
    reasons_right: int = 0
    wrong: list[str] = field(default_factory=list)

    def shares(self) -> dict[str, float]:
        """In percent, to two digits; 100 of nothing."""
        pairs = {
            "verdicts right": (self.verdicts_right, self.messages),
            "or defensible": (self.verdicts_defensible, self.messages),
            "recipients exact": (self.recipients_exact, self.with_recipients),
            "hard recall": (self.hards_found, self.hards),
            "hard precision": (self.hards_reported - self.false_hards, self.hards_reported),
            "reasons right": (self.reasons_right, self.reasons),
        }
        return {name: round(100 * part / whole, 2) if whole else 100.0 for name, (part, whole) in pairs.items()}


def read_labels(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def score_folder(folder: Path) -> Score:
    """Every labelled mail of a folder, judged here."""
    score = Score()
    for label in read_labels(folder):
        _add(score, label, judge((folder / "messages" / f"{label['id']}.eml").read_bytes()))
    return score


def _add(score: Score, label: dict[str, Any], judgement: Judgement) -> None:
    name, want, got = label["id"], label["verdict"], str(judgement.verdict)
    alternatives = label.get("alt_verdicts") or ()
    score.messages += 1
    score.verdicts_right += got == want
    score.verdicts_defensible += got == want or got in alternatives
    if got != want:
        score.wrong.append(
            f"verdict     {name}: {got}, labelled {want}{' (defensible)' if got in alternatives else ''}"
        )
    if want == "ignore":
        score.ordinary += 1
        score.ordinary_taken_for_bounces += got != "ignore"
    elif want != "unidentified":
        score.bounces += 1
        score.bounces_missed += got == "ignore"
    _add_recipients(score, label, judgement)


def _add_recipients(score: Score, label: dict[str, Any], judgement: Judgement) -> None:
    labelled = {alias: outcome for outcome in label["outcomes"] for alias in _aliases(outcome)}
    tolerated = {address.lower() for address in label.get("tolerated") or ()}
    reported: dict[str, tuple[str, str]] = {}
    for outcome in judgement.outcomes:
        address, verdict = outcome.recipient, str(outcome.verdict)
        if address is None or verdict not in WORST_FIRST:
            continue
        if address not in reported or WORST_FIRST.index(verdict) < WORST_FIRST.index(reported[address][0]):
            reported[address] = verdict, outcome.reason or ""
    found = {id(labelled[address]) for address in reported if address in labelled}
    if label["outcomes"] and label["verdict"] != "ignore":
        score.with_recipients += 1
        strays = [address for address in reported if address not in labelled and address not in tolerated]
        is_exact = not strays and found == {id(outcome) for outcome in label["outcomes"]}
        score.recipients_exact += is_exact
        if not is_exact:
            score.wrong.append(
                f"recipients  {label['id']}: {sorted(reported)}, labelled {[one['recipient'] for one in label['outcomes']]}"
            )
    score.hards += sum(outcome["verdict"] == "hard" for outcome in label["outcomes"])
    hards: set[int] = set()
    for address, (verdict, reason) in reported.items():
        truth = labelled.get(address)
        if verdict == "hard":
            _add_hard(score, label, truth, address, hards)
        if truth and label.get("reason_scored") and truth.get("reason"):
            score.reasons += 1
            is_right = _bare(reason) in {_bare(truth["reason"]), _bare(truth.get("sisimai_reason") or truth["reason"])}
            score.reasons_right += is_right
            if not is_right:
                score.wrong.append(f"reason      {label['id']}: {reason}, labelled {truth['reason']}")
    score.hards_found += len(hards)


def _add_hard(score: Score, label: dict[str, Any], truth: dict[str, Any] | None, address: str, hards: set[int]) -> None:
    score.hards_reported += 1
    if truth and truth["verdict"] == "hard":
        hards.add(id(truth))
    elif not (label["verdict"] == "hard" and address in {one.lower() for one in label.get("tolerated") or ()}):
        score.false_hards += 1
        is_defensible = "hard" in ((truth or label).get("alt_verdicts") or ())
        score.indefensible_hards += not is_defensible
        score.wrong.append(f"false hard  {label['id']}: {address}{' (defensible)' if is_defensible else ''}")


def _aliases(outcome: dict[str, Any]) -> Iterator[str]:
    for address in (outcome["recipient"], outcome.get("original_recipient"), *(outcome.get("aliases") or ())):
        if address:
            yield address.strip("<>").lower()


def _bare(reason: str) -> str:
    return reason.replace("-", "").lower()
