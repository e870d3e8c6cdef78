"""Replies as they stand in a report: verdict, reasons (the first is best, others after |), host, reply; a row each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.classifier.judge import judge

REPLIES: Final = "replies.tsv"

REPORT: Final = """From: Mail Delivery System <MAILER-DAEMON@relay.example.org>
To: bounces@news.example.org
Subject: Undelivered Mail Returned to Sender
Message-ID: <1@relay.example.org>
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=utf-8

The message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.org

Final-Recipient: rfc822; user@example.com
Action: failed
Status: 5.0.0
Remote-MTA: dns; {host}
Diagnostic-Code: smtp; {reply}

--b--
"""


@dataclass(slots=True)
class Replies:
    """Counts; `wrong` tells each wrong verdict in words."""

    replies: int = 0
    verdicts_right: int = 0
    reasons_right: int = 0
    hards: int = 0
    hards_found: int = 0
    false_hards: int = 0
    wrong: list[str] = field(default_factory=list)


def read_rows(file: Path) -> list[list[str]]:
    """Raises ValueError with the place of a row that has not these four columns."""
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line and not line.startswith("#"):
            rows.append(line.split("\t"))
            if len(rows[-1]) != 4:
                raise ValueError(f"{file}:{number}: {len(rows[-1])} columns; verdict, reasons, host and reply are four")
    return rows


def judge_reply(reply: str, host: str) -> tuple[str, str]:
    """Verdict and reason of a reply that a plain delivery report quotes."""
    outcome = judge(REPORT.format(host=host, reply=reply).encode()).outcomes[0]
    return str(outcome.verdict), outcome.reason or ""


def score_replies(file: Path) -> Replies:
    score = Replies()
    for verdict, reasons, host, reply in read_rows(file):
        got, reason = judge_reply(reply, host)
        score.replies += 1
        score.verdicts_right += got == verdict
        score.reasons_right += reason in reasons.split("|")
        score.hards += verdict == "hard"
        score.hards_found += verdict == got == "hard"
        score.false_hards += got == "hard" != verdict
        if got != verdict:
            score.wrong.append(f"reply       {got} ({reason}), labelled {verdict} ({reasons}): {reply[:160]}")
    return score
