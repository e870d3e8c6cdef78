"""What the classifier does with a batch of raw bounces: judge them, publish the verdicts, set the unreadable aside."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from services.classifier.ports import Judges, LethalMail
from services.classifier.version import CLASSIFIER_VERSION
from shared.bus import Delivery, Message, Publisher, Rejection
from shared.contract import Outcome, RawBounceJson, VerdictMessage
from shared.errors import Permanent
from shared.identity import cut, raw_id
from shared.meters import JUDGED, OUTCOMES, STAGES
from shared.wire import read_raw_bounce, verdict_message

RECEIVED_AT: Final = "received_at"

log = structlog.get_logger(__name__)


class RawBounceHandler:
    """One verdict for each raw bounce, published and confirmed before the batch is settled."""

    def __init__(
        self, judges: Judges, publisher: Publisher, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._judges = judges
        self._publisher = publisher
        self._now = now

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        """Raises Transient while the verdicts cannot be published."""
        now = self._now()
        readable: list[tuple[Delivery, RawBounceJson, bytes, bool]] = []
        rejections: list[Rejection] = []
        for delivery in deliveries:
            stamped = _stamp(delivery, now)
            try:
                bounce = read_raw_bounce(stamped.message)
            except Permanent as exc:
                rejections.append(Rejection(stamped, str(exc)))
                continue
            raw, is_cut = cut(bounce["raw"])
            readable.append((stamped, bounce, raw, is_cut or bounce["truncated"]))
        verdicts: list[Message] = []
        with STAGES.labels("judge").time():
            judgements = self._judges.judge([raw for _, _, raw, _ in readable])
        for (delivery, bounce, raw, truncated), judgement in zip(readable, judgements, strict=True):
            if isinstance(judgement, LethalMail):
                rejections.append(Rejection(delivery, f"the mail cannot be judged: {judgement}"))
                continue
            verdicts.append(verdict_message(_verdict(delivery.message, bounce, raw, truncated, judgement, now)))
        with STAGES.labels("publish_verdicts").time():
            self._publisher.publish(verdicts)
        _count([judgement for judgement in judgements if not isinstance(judgement, LethalMail)])
        log.info("bounces_judged", messages=len(verdicts), rejected=len(rejections))
        return rejections


def _count(judgements: Sequence[Mapping[str, Any]]) -> None:
    for labels, mails in Counter((str(one["kind"]), str(one["verdict"])) for one in judgements).items():
        JUDGED.labels(*labels).inc(mails)
    outcomes = (outcome for judgement in judgements for outcome in judgement["outcomes"])
    for labels, people in Counter((str(one["verdict"]), str(one["reason"])) for one in outcomes).items():
        OUTCOMES.labels(*labels).inc(people)


def _stamp(delivery: Delivery, now: datetime) -> Delivery:
    """The first consumer says when a mail was received, and the mail carries it from there, also into a dead letter."""
    message = delivery.message
    if message.headers.get(RECEIVED_AT):
        return delivery
    received_at = message.timestamp or now
    return replace(
        delivery, message=replace(message, headers={**message.headers, RECEIVED_AT: received_at.isoformat()})
    )


def _verdict(
    message: Message, bounce: RawBounceJson, raw: bytes, truncated: bool, judgement: Mapping[str, Any], now: datetime
) -> VerdictMessage:
    return {
        "schema_version": 1,
        "raw_id": raw_id(raw),
        "publisher_id": _text(message.message_id, 255),
        "list_id": bounce["list_id"],
        "run_id": bounce["run_id"],
        "account": bounce["account"],
        "kind": judgement["kind"],
        "verdict": judgement["verdict"],
        "received_at": bounce["received_at"] or datetime.fromisoformat(str(message.headers[RECEIVED_AT])),
        "truncated": truncated,
        "reporting_mta": _text(judgement["reporting_mta"], 255),
        "campaign": _text(judgement["campaign"], 255),
        "classifier_version": CLASSIFIER_VERSION,
        "judged_at": now,
        "outcomes": [_outcome(outcome) for outcome in judgement["outcomes"]],
    }


def _outcome(outcome: Mapping[str, Any]) -> Outcome:
    return {
        "event_id": outcome["event_id"],
        "tier": outcome["tier"],
        "recipient": outcome["recipient"],
        "final_recipient": _text(outcome["final_recipient"], 1024),
        "verdict": outcome["verdict"],
        "reason": outcome["reason"],
        "fault": outcome["fault"],
        "action": _text(outcome["action"], 64),
        "status": outcome["status"],
        "reply_code": outcome["reply_code"],
        "diagnostic_code": _text(outcome["diagnostic_code"], 2048),
        "remote_mta": _text(outcome["remote_mta"], 255),
        "rule": outcome["rule"],
        "evidence": _text(outcome["evidence"], 2048) or "",
    }


def _text(text: str | None, limit: int) -> str | None:
    """Without NUL, which PostgreSQL refuses, and within the contract's length."""
    return None if text is None else text.replace("\x00", "\ufffd")[:limit]
