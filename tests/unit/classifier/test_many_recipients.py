"""Reports about several recipients: each gets what is said of it, however much is said."""

import time

from services.classifier.judge import judge
from tests.unit.classifier.hostile import HEAD, REPORT

STATUS = REPORT + b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n"


def group(address: str, diagnostic: str, status: str = "5.1.1", action: str = "failed") -> bytes:
    return (
        f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n\n"
    ).encode()


def test_what_stands_above_an_address_is_said_of_it() -> None:
    notice = b"\nThe user mailbox is full:\n   <full@example.com>\n\nThe user does not exist:\n   <gone@example.com>\n"
    reasons = {outcome.recipient: (outcome.verdict, outcome.reason) for outcome in judge(HEAD + notice).outcomes}
    assert reasons == {"full@example.com": ("soft", "mailbox-full"), "gone@example.com": ("hard", "user-unknown")}


def test_what_stands_below_an_address_is_said_of_it() -> None:
    notice = b"\n<full@example.com>:\nMailbox full.\n\n<gone@example.com>:\nUser unknown.\n"
    reasons = {outcome.recipient: outcome.reason for outcome in judge(HEAD + notice).outcomes}
    assert reasons == {"full@example.com": "mailbox-full", "gone@example.com": "user-unknown"}


def test_words_that_were_not_read_are_never_a_hard() -> None:
    raw = STATUS + b"".join(
        group(f"r{n}@e.example", f"550 5.1.1 Greylisted, please retry, session {n:08d} of this host, {n:060d}")
        for n in range(280)
    )
    outcomes = judge(raw).outcomes
    assert len(outcomes) == 280
    assert {str(outcome.verdict) for outcome in outcomes} <= {"soft", "unidentified"}
    assert "were not matched" in outcomes[-1].evidence


def test_many_delivered_among_many_failed_take_no_longer() -> None:
    groups = b"".join(
        group(
            f"{n}@b.example",
            "250 2.0.0 ok" if n % 2 else "550 5.1.1 User unknown",
            action="relayed" if n % 2 else "failed",
        )
        for n in range(4_000)
    )
    started = time.process_time()
    assert len(judge(STATUS + groups).outcomes) <= 1_000
    assert time.process_time() - started < 1
