"""How the time of one mail grows with its size: one bounce whose returned message, notice or attachment gets longer."""

from collections.abc import Callable
from email import message_from_bytes
from email.policy import compat32
from time import process_time
from typing import Final

from benchmarks.results import Bound, Row
from services.classifier.judge import judge

KIB: Final = 1024
SIZES: Final = tuple(KIB << step for step in range(10))
LARGE: Final = 10 * KIB * KIB
LARGE_GOAL: Final = 1.2
"""What is beyond 512 KiB is not read, so that a larger mail costs no more."""
LEAST_S: Final = 0.02

_LINE: Final = b"The newsletter of this month tells of books and of the people who read them aloud.\n"
_CODED: Final = b"VGhlIG5ld3NsZXR0ZXIgb2YgdGhpcyBtb250aCB0ZWxscyBvZiBib29rcyBhbmQgb2YgcGVvcGxlLgAA\n"
_MAIL: Final = b"""\
From: MAILER-DAEMON@relay.example.org (Mail Delivery System)
To: news@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="edge"

--edge
Content-Type: text/plain; charset=us-ascii

This is the mail system at host relay.example.org. Your message could not be delivered.

<reader@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 no such user here (in reply to RCPT TO command)
%(notice)s
--edge
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.org

Final-Recipient: rfc822; reader@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user here
%(attachment)s
--edge
Content-Type: message/rfc822

From: news@example.org
To: reader@example.com
Subject: news
Message-ID: <1@example.org>

%(returned)s
--edge--
"""
_ATTACHMENT: Final = b"\n--edge\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
SHAPES: Final = {
    "returned message": ("returned", b"", _LINE),
    "notice": ("notice", b"\n", _LINE),
    "attachment": ("attachment", _ATTACHMENT, _CODED),
}


def bounce(shape: str, size_bytes: int) -> bytes:
    """A bounce of about this size, of which the named piece is what grows."""
    place, head, line = SHAPES[shape]
    pieces = {b"notice": b"", b"attachment": b"", b"returned": b""}
    missing = max(0, size_bytes - len(_MAIL % pieces) - len(head))
    pieces[place.encode()] = head + line * (missing // len(line))
    return _MAIL % pieces


def measure_growth() -> list[Row]:
    """Microseconds of each size with the standard library's parser as the floor, and how the largest compare."""
    rows: list[Row] = []
    for shape in SHAPES:
        took_us: dict[int, float] = {}
        for size_bytes in (*SIZES, LARGE):
            raw = bounce(shape, size_bytes)
            took_us[size_bytes] = _time_us(lambda raw=raw: judge(raw))  # type: ignore[misc]
            floor = None
            if size_bytes != LARGE:
                floor = _time_us(lambda raw=raw: message_from_bytes(raw, policy=compat32))  # type: ignore[misc]
            rows.append(Row(f"{shape} of {size_bytes // KIB} KiB", took_us[size_bytes], "µs", floor))
        name = f"{shape}: 512 KiB in times of 1 KiB"
        rows.append(Row(name, round(took_us[SIZES[-1]] / took_us[SIZES[0]], 2), "×"))
        # What stands behind the piece that grew is lost with the rest: not the bounce of 512 KiB, but the same without it.
        beginning = bounce(shape, LARGE)[: SIZES[-1]]
        times = round(took_us[LARGE] / _time_us(lambda raw=beginning: judge(raw)), 2)  # type: ignore[misc]
        name = f"{shape}: 10 MiB in times of its first 512 KiB"
        rows.append(Row(name, times, "×", goal=LARGE_GOAL, bound=Bound.MOST_VALUE))
    return rows


def _time_us(work: Callable[[], object]) -> float:
    """The best of five, of as many runs each as a clock can tell apart."""
    began = process_time()
    work()
    runs = max(1, int(LEAST_S / max(process_time() - began, 1e-6)))
    best = float("inf")
    for _ in range(5):
        began = process_time()
        for _ in range(runs):
            work()
        best = min(best, (process_time() - began) / runs)
    return round(best * 1e6, 1)
