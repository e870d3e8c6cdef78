"""Where the time of a judgement goes: the classifier's public functions, each timed over all mails by itself.

A stage takes what the stage before it gave; None ends the mail. What `judge` takes beyond their sum is the rest: the send's
identity, the examination, the outcome.
"""

import gc
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any, Final

from benchmarks.forgetting import forget
from benchmarks.results import Row
from services.classifier.anatomy import Anatomy, dissect
from services.classifier.decide import decide
from services.classifier.diagnosis import diagnose
from services.classifier.extraction import extract
from services.classifier.judge import judge
from services.classifier.judgement import Finding
from services.classifier.kinds import recognise
from services.classifier.matching import Matcher
from services.classifier.reader import read
from services.classifier.reports import read_report
from services.classifier.rulebook import own_rulebook
from shared.contract.vocabulary import Kind

ROUNDS: Final = 5
Found = tuple[Anatomy, list[Finding]]


def _read(raw: bytes) -> Anatomy:
    return dissect(read(raw))


def _recognise(anatomy: Anatomy) -> Anatomy | None:
    return anatomy if recognise(anatomy, own_rulebook()).kind == Kind.BOUNCE else None


def _extract(anatomy: Anatomy) -> Found:
    return anatomy, extract(anatomy, [read_report(text) for text in anatomy.reports])


def _diagnose(found: Found) -> None:
    anatomy, findings = found
    for finding in findings:
        decide(diagnose(finding, anatomy, Matcher(own_rulebook(), "", [])), finding.action or "failed")


STAGES: Final[tuple[tuple[str, Callable[[Any], Any]], ...]] = (
    ("read", _read),
    ("kind", _recognise),
    ("extract", _extract),
    ("diagnose and decide", _diagnose),
)


def measure_stages(raws: list[bytes]) -> list[Row]:
    """Microseconds a mail, of each stage and of the rest."""
    took: dict[str, list[float]] = {name: [] for name, _ in (*STAGES, ("rest", judge))}
    for _ in range(ROUNDS):
        forget()
        sum_s = 0.0
        values: list[Any] = list(raws)
        for name, stage in STAGES:
            gc.collect()
            began = process_time()
            values = [stage(value) for value in values]
            stage_s = process_time() - began
            values = [value for value in values if value is not None]
            took[name].append(stage_s)
            sum_s += stage_s
        forget()
        began = process_time()
        for raw in raws:
            judge(raw)
        took["rest"].append(process_time() - began - sum_s)
    return [Row(f"stage: {name}", round(median(times) / len(raws) * 1e6, 1), "µs/mail") for name, times in took.items()]
