"""Verdicts of mails as they go over the wire, judged in this process, where an exception is seen.

`python -m tests.property.judging [backwards]` writes the verdict of every sample mail and of every mail of the tests, one a
line, always in the same order, though judged in the other one, and after mails that leave no cache as it was.
"""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from services.classifier.handler import RawBounceHandler
from services.classifier.judge import judge
from services.classifier.ports import LethalMail
from shared.bus import Delivery, Message, Rejection
from shared.local_bus import LocalBus
from shared.topology import CLASSIFIER_RAW, EXCHANGE, LEDGER_VERDICTS, RAW
from tests.property.mutations import mutants, own_mails
from tests.unit.classifier.hostile import salad_reports

NOW: Final = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


class HereJudges:
    """What the sandbox's child does, without the sandbox."""

    def __init__(self) -> None:
        self.slowest_s = 0.0

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        return [self._judge(raw) for raw in raws]

    def _judge(self, raw: bytes) -> dict[str, Any]:
        began = time.process_time()
        judgement = judge(raw)
        self.slowest_s = max(self.slowest_s, time.process_time() - began)
        answer: dict[str, Any] = orjson.loads(orjson.dumps(judgement))
        return answer


class Classifier:
    """Mail in, verdict message out, which has passed the contract's schema."""

    def __init__(self) -> None:
        self.judges = HereJudges()
        self._verdicts: list[Message] = []
        bus = LocalBus()
        bus.subscribe(LEDGER_VERDICTS.name, self._record)
        self._handler = RawBounceHandler(self.judges, bus, lambda: NOW)

    def verdict(self, raw: bytes) -> Message:
        """Raises what judging raises, and Permanent for a verdict that breaks the contract."""
        message = Message(EXCHANGE, RAW, raw, "message/rfc822", headers={})
        rejections = self._handler([Delivery(message, CLASSIFIER_RAW.name)])
        assert rejections == [], rejections[0].reason
        return self._verdicts.pop()

    def _record(self, batch: Sequence[Delivery]) -> list[Rejection]:
        self._verdicts.extend(delivery.message for delivery in batch)
        return []


def main() -> None:
    classifier = Classifier()
    mails = list(enumerate(own_mails()))
    if sys.argv[1:] == ["backwards"]:
        mails.reverse()
        for raw in (salad_reports(512 * 1024), *mutants(0, 200)):
            classifier.verdict(raw or b"\n")
    verdicts = {number: classifier.verdict(raw).body for number, raw in mails}
    for number in sorted(verdicts):
        sys.stdout.buffer.write(verdicts[number] + b"\n")


if __name__ == "__main__":
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    main()
