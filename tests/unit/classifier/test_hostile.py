"""Whatever is inside, a mail is judged within a second and 200 MB, in time that grows as it does, and nothing is raised."""

import encodings.aliases
import time
from pathlib import Path

import pytest

from services.classifier.explain import explain
from services.classifier.judge import judge
from services.classifier.judgement import Judgement
from tests.unit.classifier.hostile import HEAD, HUGE, REPORT, SHAPES, Shape

SIZE = 512 * 1024
SIZES = (60 * 1024, SIZE)
"""What is read of a text, nearly, and of a mail; each is compared with a tenth of it."""
MOST_BYTES = 200 * 1024 * 1024
MOST_GROWTH = 12
"""Times that ten times the size may take."""
LEAST_S = 0.02
"""What takes less is not worth comparing, and what is within it is noise."""
BOUNCE = HEAD + b"\n<user@example.com>: host mx.example.com said: 550 5.1.1 User unknown\n"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_bounded(shape: Shape) -> None:
    assert_bounded(shape(SIZE))


@pytest.mark.parametrize(("shape", "size_bytes"), HUGE.values(), ids=HUGE.keys())
def test_beyond_the_limit(shape: Shape, size_bytes: int) -> None:
    assert_bounded(shape(size_bytes))


@pytest.mark.long
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_time_grows_as_the_mail_does(shape: Shape, size_bytes: int) -> None:
    large = shape(size_bytes)
    if seconds(large) < LEAST_S:
        return
    small = shape(size_bytes // 10)
    for _ in range(5):
        # Side by side, so that what else the machine does hits both; what is worse than linear is so each time.
        times = [seconds(small) for _ in range(3)]
        limit = MOST_GROWTH * sum(times) / len(times) + LEAST_S
        if seconds(large) <= limit:
            return
    pytest.fail(f"a tenth takes {sum(times) / len(times):.4f} s, the whole more than {limit:.4f} s")


def assert_bounded(raw: bytes) -> None:
    started = time.process_time()
    before = forget_peak()
    judgement = judge(raw)
    assert time.process_time() - started < 1
    assert memory("VmHWM") - before <= MOST_BYTES
    assert_in_bounds(judgement)


def assert_in_bounds(judgement: Judgement) -> None:
    assert len(judgement.outcomes) <= 1_000
    assert all(len((outcome.diagnostic_code or "").encode()) <= 2_048 for outcome in judgement.outcomes)


def seconds(raw: bytes) -> float:
    """Of this process on a core."""
    started = time.process_time()
    judge(raw)
    return time.process_time() - started


def forget_peak() -> int:
    """The memory that this process has, in bytes, which is its peak from now on."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")
    return memory("VmRSS")


def memory(name: str) -> int:
    """Bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = [line for line in status.read_text().splitlines() if line.startswith(name)] if status.exists() else []
    return int(found[0].split()[1]) * 1024 if found else 0


@pytest.mark.parametrize("raw", [b"", b"\n", b":", b"From ", b"\0", b"\xff\xfe", b"Subject", b"=?", b"--\n", b"{"])
def test_noise_is_no_bounce(raw: bytes) -> None:
    assert judge(raw).kind == "not-bounce"
    assert explain(raw)[-1][0] == "result"


CHARSETS = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values()})
OTHERS = [
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "undefined",
    "utf-8-sig",
    "mbcs",
    "oem",
    "x-unknown",
]
BROKEN = ["", "\0", "x" * 5_000, "../../x", "utf-8\0", "ü", '"', "utf-8*en", "0", "none", "é" * 300]


@pytest.mark.parametrize("name", [*CHARSETS, *OTHERS, *BROKEN])
def test_every_charset_name(name: str) -> None:
    """Python's own and others, where a charset may be named, over bytes that fit none."""
    body = b"+2AA- \\ud800 \xff\xfe\x1b$B \x00<u@example.com>: unknown\n" * 20
    charset = name.encode()
    for raw in (
        HEAD + b"Content-Type: text/plain; charset=" + charset + b"\n\n" + body,
        HEAD + b"X-Failed-Recipients: =?" + charset + b"?q?=ff=d8=00u@example.com?=\n\n" + body,
        REPORT + b"Content-Type: message/delivery-status; charset=" + charset + b"\n\nFinal-Recipient: " + body,
    ):
        assert_bounded(raw)


def test_carriage_returns_alone_end_lines() -> None:
    assert judge(BOUNCE.replace(b"\n", b"\r")).outcomes[0].recipient == "user@example.com"


def test_what_is_cut_off_is_said() -> None:
    outcome = judge(BOUNCE + b"\n" * SIZE).outcomes[0]
    assert "512 KiB" in outcome.evidence


def test_ten_megabytes_cost_no_more() -> None:
    started = time.perf_counter()
    judge(HEAD + b"\n" + b"x" * 10_000_000)
    assert time.perf_counter() - started < 1


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
