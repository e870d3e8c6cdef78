"""Verdicts as a classifier writes them about a large list: 50,000 addresses, a tenth of the messages seen before."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.contract import Outcome, VerdictMessage

ADDRESSES: Final = 50_000
REPEATED: Final = 0.1
_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MAILS_A_RUN: Final = 20_000


def make_verdicts(count: int, *, addresses: int = ADDRESSES, seed: int = 5) -> list[VerdictMessage]:
    """That many messages; which of them are repeated, and about whom, follows from the seed."""
    chance = random.Random(seed)
    made: list[VerdictMessage] = []
    fresh: list[VerdictMessage] = []
    for _ in range(count):
        if not fresh or chance.random() >= REPEATED:
            fresh.append(
                make_verdict(len(fresh), f"reader{chance.randrange(addresses)}@example.net", chance.random() < 0.4)
            )
            made.append(fresh[-1])
        else:
            made.append(chance.choice(fresh))
    return made


def make_verdict(number: int, recipient: str, is_hard: bool = False) -> VerdictMessage:
    """The mail of that number, about one recipient: a message of some 1.4 KB."""
    verdict = "hard" if is_hard else "soft"
    return VerdictMessage(
        schema_version=1,
        raw_id=hashlib.sha256(b"mail %d" % number).hexdigest(),
        publisher_id=None,
        list_id="weekly",
        run_id=f"run {number // _MAILS_A_RUN}",
        account="weekly",
        kind="bounce",
        verdict=verdict,
        received_at=_BEGAN + timedelta(seconds=number),
        truncated=False,
        reporting_mta="mx.example.com",
        campaign=None,
        classifier_version=1,
        judged_at=_BEGAN,
        outcomes=[
            Outcome(
                event_id=hashlib.sha256(b"send %d" % number).hexdigest(),
                tier=2,
                recipient=recipient,
                final_recipient=recipient,
                verdict=verdict,
                reason="user-unknown" if is_hard else "mailbox-full",
                fault="recipient",
                action="failed",
                status="5.1.1" if is_hard else "4.2.2",
                reply_code="550" if is_hard else "452",
                diagnostic_code=f"smtp; {'550 5.1.1' if is_hard else '452 4.2.2'} <{recipient}>: Recipient address rejected: the "
                f"mailbox you tried to reach cannot take mail; see https://mail.example.net/help?id={number} for more",
                remote_mta="mail.example.net",
                rule="unknown-user" if is_hard else "mailbox-full",
                evidence="recipient address rejected",
            )
        ],
    )


def in_batches(verdicts: Sequence[VerdictMessage], size: int) -> list[list[VerdictMessage]]:
    """The same, cut."""
    return [list(verdicts[start : start + size]) for start in range(0, len(verdicts), size)]
