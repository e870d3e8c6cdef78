"""Whatever is inside, 512 KiB are judged within a second, and nothing is raised."""

import random
import time

import pytest

from services.classifier.explain import explain
from services.classifier.judge import judge

SIZE = 512 * 1024
HEAD = b"From: MAILER-DAEMON@relay.example.org\nTo: news@example.org\nSubject: Undelivered Mail Returned to Sender\n"
REPORT = HEAD + b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\n'
BOUNCE = HEAD + b"\n<user@example.com>: host mx.example.com said: 550 5.1.1 User unknown\n"


def fill(pattern: bytes) -> bytes:
    return (pattern * (SIZE // len(pattern) + 1))[:SIZE]


def nested(depth: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth))


HOSTILE = {
    "nested 1,000 deep": HEAD + nested(1_000),
    "nested in one boundary": HEAD + fill(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"),
    "messages in messages": HEAD + fill(b"Content-Type: message/rfc822\n\n"),
    "semicolons": HEAD + b'Content-Type: a="' + b";" * 100_000 + b"\n\n",
    "parameters": HEAD + b"Content-Type: text/plain; " + b'a="b";' * 20_000 + b"\n\n",
    "a header of 195 KB": HEAD + b"X-Long: " + b"a" * 195_000 + b"\n\n",
    "a header of folds": HEAD + b"X-Long: " + fill(b"a\n ") + b"\n\n",
    "headers without end": HEAD + fill(b"X: y\n"),
    "failed recipients": HEAD + fill(b"X-Failed-Recipients: user@example.com\n"),
    "encoded words": b"Subject: " + fill(b"=?utf-8?q?=41?= ") + b"\n\n",
    "half encoded words": b"Subject: " + fill(b"=?utf-8?b?") + b"\n\n",
    "parts": HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + fill(b"--b\n\n"),
    "almost boundaries": HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + fill(b"--bx\n"),
    "recipients in a report": REPORT
    + b"Content-Type: message/delivery-status\n\n"
    + b"".join(b"Final-Recipient: rfc822; u%d@example.com\nAction: failed\n\n" % n for n in range(9_000)),
    "unfolded for ever": REPORT + b"Content-Type: message/delivery-status\n\nDiagnostic-Code: x\n" + fill(b"yyy\n"),
    "recipients in a notice": HEAD + b"\n" + b"".join(b"<u%d@example.com>: no such user\n" % n for n in range(15_000)),
    "borders": HEAD + b"\n" + fill(b"original message\n"),
    "half tags": HEAD + b"Content-Type: text/html\n\n" + fill(b"<a "),
    "styles": HEAD + b"Content-Type: text/html\n\n" + fill(b"<style>"),
    "broken base64": HEAD + b"Content-Transfer-Encoding: base64\n\n" + fill(b"QUJD!"),
    "octal": HEAD + b"\n550 " + fill(b"\\347\\224"),
    "JSON": b"From: no-reply@sns.amazonaws.com\n\n" + fill(b'{"notificationType":'),
    **{
        f"only {pattern!r}": HEAD + b"\n" + fill(pattern)
        for pattern in (b"@", b"a@", b"<", b'"a"@', b"550 ", b" ", b"\t\n", b"\0", b"5.1.")
    },
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_bounded(raw: bytes) -> None:
    started = time.perf_counter()
    judgement = judge(raw)
    assert time.perf_counter() - started < 1
    assert len(judgement.outcomes) <= 1_000
    assert all(len((outcome.diagnostic_code or "").encode()) <= 2_048 for outcome in judgement.outcomes)


@pytest.mark.parametrize("raw", [b"", b"\n", b":", b"From ", b"\0", b"\xff\xfe", b"Subject", b"=?", b"--\n", b"{"])
def test_noise_is_no_bounce(raw: bytes) -> None:
    assert judge(raw).kind == "not-bounce"
    assert explain(raw)[-1][0] == "result"


@pytest.mark.parametrize(
    "name", ["utf-7", "utf-16", "idna", "punycode", "unicode_escape", "zlib", "rot13", "\0", "x" * 5_000, "undefined"]
)
def test_every_charset_name(name: str) -> None:
    raw = (
        HEAD + f"Content-Type: text/plain; charset={name}\n\n".encode() + b"+2AA- \\ud800 \xff<u@example.com>: unknown"
    )
    judge(raw)


def test_carriage_returns_alone_end_lines() -> None:
    assert judge(BOUNCE.replace(b"\n", b"\r")).outcomes[0].recipient == "user@example.com"


def test_what_is_cut_off_is_said() -> None:
    outcome = judge(BOUNCE + b"\n" * SIZE).outcomes[0]
    assert "512 KiB" in outcome.evidence


def test_ten_megabytes_cost_no_more() -> None:
    started = time.perf_counter()
    judge(HEAD + b"\n" + b"x" * 10_000_000)
    assert time.perf_counter() - started < 1


def test_mutations_raise_nothing() -> None:
    chance = random.Random(7)
    splinters = (
        b"\0",
        b"\r",
        b"\n\n",
        b"=?",
        b"<",
        b"@",
        b'"',
        b"--b",
        b"\xff",
        b"\\x{D800}",
        b"Content-Type: multipart/mixed; boundary=",
    )
    for _ in range(2_000):
        raw = bytearray(
            REPORT
            + b"Content-Type: message/delivery-status\n\nFinal-Recipient: utf-8; u\\x{FC}@example.com\nStatus: 5.1.1\n"
        )
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(raw))
            if chance.random() < 0.4:
                raw[place:place] = chance.choice(splinters)
            elif chance.random() < 0.5:
                del raw[place : place + chance.randrange(40)]
            else:
                raw[place] = chance.randrange(256)
        judge(bytes(raw))


def test_no_control_character_leaves_the_classifier() -> None:
    """PostgreSQL refuses NUL in a text, terminals obey ESC."""
    raw = (
        HEAD
        + b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n"
        + b"Reporting-MTA: dns; a\0b\x1b[2J\n\nFinal-Recipient: rfc822; user@example.com\nAction: fai\0led\nStatus: 5.1.1\n"
        + b"Remote-MTA: dns; mx\0\x1b\nDiagnostic-Code: smtp; 550 \0\x1b[31mweird\x07\n\n--b\n"
        + b"Content-Type: text/rfc822-headers\n\nX-Campaign-Id: no\0vem\x1bber\nMessage-ID: <1@example.org>\n\n--b--\n"
    )
    judgement = judge(raw)
    texts = [judgement.reporting_mta, judgement.campaign]
    for outcome in judgement.outcomes:
        texts += [
            outcome.diagnostic_code,
            outcome.remote_mta,
            outcome.evidence,
            outcome.action,
            outcome.rule,
            outcome.recipient,
        ]
    assert all(text is None or text.isprintable() for text in texts), texts
    assert judgement.outcomes[0].action == "failed"
