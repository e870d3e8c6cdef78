"""Replies of servers: one row a reply (replies/*.tsv), judged as the diagnostic of a plain delivery report."""

from pathlib import Path

import pytest

from services.classifier.judge import judge

ROWS = [
    line.split("\t")
    for file in sorted((Path(__file__).parent / "replies").glob("*.tsv"))
    for line in file.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]

REPORT = """From: Mail Delivery System <MAILER-DAEMON@relay.example.org>
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


@pytest.mark.parametrize(("verdict", "reasons", "host", "reply"), ROWS, ids=[row[3][:50] for row in ROWS])
def test_reply(verdict: str, reasons: str, host: str, reply: str) -> None:
    outcome = judge(REPORT.format(host=host, reply=reply).encode()).outcomes[0]
    assert (outcome.verdict, outcome.reason) == (
        verdict,
        outcome.reason if outcome.reason in reasons.split("|") else reasons,
    )
    assert outcome.recipient == "user@example.com"
