"""The classifier on the sample mails: one core, in this process, and through the sandbox that production uses.

The floor is the standard library's parser over the same mails, which finds no recipient and no reason yet.
"""

from email import message_from_bytes
from email.policy import compat32

from benchmarks.results import Row, rate
from services.classifier.judge import judge
from services.classifier.sandbox import Sandbox
from services.fetcher.sources import open_source

COPIES = 10


def measure() -> list[Row]:
    """Messages a second."""
    mails = [found.raw for found in open_source("samples") if not found.error] * COPIES

    def parse_with_standard_library() -> int:
        for raw in mails:
            message_from_bytes(raw, policy=compat32)
        return len(mails)

    def judge_here() -> int:
        for raw in mails:
            judge(raw)
        return len(mails)

    sandbox = Sandbox()

    def judge_in_sandbox() -> int:
        return len(sandbox.judge(mails))

    try:
        floor = rate(parse_with_standard_library)
        return [
            Row("judge, in this process", rate(judge_here), "messages/s", floor),
            Row("judge, in the sandbox", rate(judge_in_sandbox), "messages/s", floor),
        ]
    finally:
        sandbox.close()
