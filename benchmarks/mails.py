"""The mails that are measured: the project's own bounces, and those of a labelled corpus where there is one."""

import json
from dataclasses import dataclass

from services.classifier.judge import judge
from shared.contract.vocabulary import MessageVerdict
from tests.corpus.conftest import CORPUS
from tests.property.mutations import own_mails


@dataclass(frozen=True, slots=True)
class MailSet:
    name: str
    raws: list[bytes]


def mail_sets() -> list[MailSet]:
    """Bounces only; the first is always there. MAILROOM_TEST_CORPUS names the folder of the second."""
    sets = [MailSet("own mails", own_bounces())]
    if (CORPUS / "labels.jsonl").is_file():
        sets.append(MailSet("corpus", corpus_bounces()))
    return sets


def own_bounces() -> list[bytes]:
    """Sample mails and mails of the tests, but for those that are to be ignored (whose verdicts the tests hold)."""
    return [raw for raw in own_mails() if judge(raw).verdict != MessageVerdict.IGNORE]


def corpus_bounces() -> list[bytes]:
    """Mails whose label is not `ignore`."""
    labels = [json.loads(line) for line in (CORPUS / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        (CORPUS / "messages" / f"{label['id']}.eml").read_bytes() for label in labels if label["verdict"] != "ignore"
    ]
