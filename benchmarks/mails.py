"""The mails that are measured: the project's own bounces, and those of a labelled corpus where there is one."""

import json
from dataclasses import dataclass
from pathlib import Path

from services.classifier.judge import judge
from services.fetcher.mailbox_files import read_path
from shared.contract.vocabulary import MessageVerdict
from tests.corpus.conftest import CORPUS

ROOT = Path(__file__).parents[1]
OWN = (ROOT / "samples" / "mails", ROOT / "samples" / "more.mbox", ROOT / "tests" / "unit" / "classifier" / "mails")


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
    raws = [found.raw for source in OWN for found in read_path(source)]
    return [raw for raw in raws if judge(raw).verdict != MessageVerdict.IGNORE]


def corpus_bounces() -> list[bytes]:
    """Mails whose label is not `ignore`."""
    labels = [json.loads(line) for line in (CORPUS / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        (CORPUS / "messages" / f"{label['id']}.eml").read_bytes() for label in labels if label["verdict"] != "ignore"
    ]
