"""The classifier over real bounces, against labels that people gave."""

import json
from typing import Any

import pytest

from services.classifier.sandbox import Sandbox
from tests.corpus.conftest import CORPUS

LEAST_RIGHT = 0.98
MOST_FALSE_HARDS = 4

LABELS = [json.loads(line) for line in (CORPUS / "labels.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def judged() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each label with what the classifier says of its mail."""
    sandbox = Sandbox()
    raws = [(CORPUS / "messages" / f"{label['id']}.eml").read_bytes() for label in LABELS]
    judgements = sandbox.judge(raws)
    sandbox.close()
    assert all(isinstance(judgement, dict) for judgement in judgements), "a mail ended the parser"
    return list(zip(LABELS, judgements, strict=True))  # type: ignore[misc]


def test_verdicts_are_right(judged: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    wrong = [label["id"] for label, judgement in judged if judgement["verdict"] != label["verdict"]]
    assert 1 - len(wrong) / len(judged) >= LEAST_RIGHT, wrong


def test_good_addresses_are_not_silenced(judged: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    false_hards = [
        label["id"]
        for label, judgement in judged
        if judgement["verdict"] == "hard" and label["verdict"] != "hard" and "hard" not in label["alt_verdicts"]
    ]
    assert len(false_hards) <= MOST_FALSE_HARDS, false_hards
