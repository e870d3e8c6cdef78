"""Mails that somebody made to break the classifier: each a function of its size in bytes."""

import random
import re
from collections.abc import Callable
from functools import cache, partial
from itertools import accumulate, count, takewhile
from typing import Final

from services.classifier.rulebook import own_rulebook

Shape = Callable[[int], bytes]

HEAD: Final = (
    b"From: MAILER-DAEMON@relay.example.org\nTo: news@example.org\nSubject: Undelivered Mail Returned to Sender\n"
)
REPORT: Final = HEAD + b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\n'
STATUS: Final = REPORT + b"Content-Type: message/delivery-status\n\n"
MIXED: Final = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n"
PAGE: Final = HEAD + b"Content-Type: text/html\n\n"
FAILED: Final = HEAD + b"X-Failed-Recipients: nobody\n\n550 delivery failed:\n"
"""A bounce for certain, whose recipient has to be looked for in the notice."""


def fill(pattern: bytes, size_bytes: int) -> bytes:
    return (pattern * (size_bytes // len(pattern) + 1))[: max(size_bytes, 0)]


def after(head: bytes, pattern: bytes, tail: bytes = b"") -> Shape:
    """The head, then the pattern again and again, then the tail."""
    return lambda size_bytes: head + fill(pattern, size_bytes - len(head) - len(tail)) + tail


def numbered(head: bytes, pattern: bytes) -> Shape:
    """The head, then the pattern with a number in it, counted up."""

    def make(size_bytes: int) -> bytes:
        pieces = (pattern % number for number in count())
        sizes = accumulate(map(len, (pattern % number for number in count())), initial=len(head))
        return head + b"".join(piece for piece, _ in zip(pieces, takewhile(lambda s: s < size_bytes, sizes)))  # noqa: B905

    return make


def header(name: bytes, pattern: bytes) -> Shape:
    return after(b"From: MAILER-DAEMON@relay.example.org\n" + name + b": ", pattern, b"\n\n550 <u@example.com>: gone\n")


def lines(pattern: bytes, head: bytes = FAILED) -> Shape:
    """A notice of lines of what is read of one, each with an @, that name nobody."""
    return after(head, b"@" + fill(pattern, 990) + b"\n")


@cache
def _words() -> list[str]:
    rules = own_rulebook().rules
    texts = [text for rule in rules for text in (*rule.phrases, *rule.patterns, *rule.examples)]
    return sorted({word for text in texts for word in re.findall(r"[^\W\d_]{2,}|\d[\d.]+", text)})


def salad(size_bytes: int, seed: int = 0) -> bytes:
    """Words of the rules in no order, so that much is begun and nothing is said."""
    chance = random.Random(seed)
    return " ".join(chance.choice(_words()) for _ in range(size_bytes // 4)).encode()[:size_bytes]


def salads(head: bytes, pattern: bytes, each_bytes: int) -> Shape:
    """The head, then the pattern with a number and an own salad in it."""

    def make(size_bytes: int) -> bytes:
        rounds = range(max(1, (size_bytes - len(head)) // (each_bytes + len(pattern))))
        return head + b"".join(pattern % (number, salad(each_bytes, number)) for number in rounds)

    return make


def salad_reports(size_bytes: int) -> bytes:
    """Reports of 15 recipients each, with a salad of 4 KB for each recipient."""
    report = b"--b\nContent-Type: message/delivery-status\n\n"
    group = b"Final-Recipient: rfc822; u%d@example.com\nDiagnostic-Code: X; %s\n\n"
    groups = range(max(1, size_bytes // 4_100))
    return MIXED + b"".join(
        (b"" if number % 15 else report) + group % (number, salad(4_000, number)) for number in groups
    )


def many_recipients(notice: bytes) -> Shape:
    """A report of 1,000 recipients that says nothing of any, below a notice that says nothing either."""

    def make(size_bytes: int) -> bytes:
        group = b"Final-Recipient: rfc822; u%d@example.com\nAction: failed\n\n"
        recipients = min(1_000, size_bytes // 100)
        room = size_bytes - recipients * len(group)
        text = b"Content-Type: text/plain\n\n" + fill(notice, min(room, 60_000)) + b"\n--b\n"
        return REPORT + text + numbered(b"Content-Type: message/delivery-status\n\n", group)(size_bytes - len(text))

    return make


def transferred(encoding: bytes, pattern: bytes, depth: int = 0) -> Shape:
    coded = b"Content-Transfer-Encoding: " + encoding + b"\n\n"
    return after(HEAD + (b"Content-Type: message/rfc822\n" + coded) * depth + coded, pattern)


def many_parts(part: bytes, pattern: bytes) -> Shape:
    """A hundred parts that grow."""
    return lambda size_bytes: (
        MIXED + (b"--b\nContent-Type: " + part + b"\n\n" + fill(pattern, size_bytes // 100) + b"\n") * 100
    )


STRUCTURES: Final[dict[str, Shape]] = {
    "nested, a boundary each": numbered(HEAD, b"Content-Type: multipart/mixed; boundary=b%d\n\n--b\n"),
    "nested in one boundary": after(HEAD, b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"),
    "messages in messages": after(HEAD, b"Content-Type: message/rfc822\n\n"),
    "parts": after(MIXED, b"--b\n\n"),
    "parts with a type": after(MIXED, b"--b\nContent-Type: text/plain\n\nx\n"),
    "reports": after(
        MIXED, b"--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; u@example.com\n\n"
    ),
    "almost boundaries": after(MIXED, b"--bx\n"),
    "boundaries that end": after(MIXED, b"--b--x\n"),
    "guessed boundaries": after(HEAD + b"Content-Type: multipart/mixed\n\n", b"--" + b"x" * 199 + b"\n\ncontent-"),
    "headers": after(HEAD, b"X: y\n"),
    "headers with a space": after(HEAD, b"X : y\n"),
    "headers of the trace": after(b"", b"Received: a\n b\nX-Spam-a: x\n"),
    "headers in capitals that have no lower case": after(HEAD, "İ: y\n".encode()),
    "one header": after(HEAD + b"X-Long: ", b"a"),
    "one header of folds": after(HEAD + b"X-Long: ", b"a\n "),
    "failed recipients": after(HEAD, b"X-Failed-Recipients: user@example.com\n"),
    "failed recipients in one": header(b"X-Failed-Recipients", b"u@-,"),
    "semicolons": header(b"Content-Type", b";"),
    "semicolons in quotes": header(b"Content-Type: text/plain; a", b'=";'),
    "parameters": header(b"Content-Type: text/plain; a=b", b'; a="b"'),
    "encoded words": header(b"Subject", b"=?utf-8?q?=41?= "),
    "half encoded words": header(b"Subject", b"=?utf-8?b?"),
    "encoded words in a charset of their own": numbered(b"Subject: ", b"=?x%d?q?a?=\n "),
    "ids": header(b"References", b"<a@b> "),
    "half ids": header(b"Message-ID", b"<a"),
    "answers": header(b"Subject", b"re[1"),
    "recipients in a report": numbered(STATUS, b"Final-Recipient: rfc822; u%d@example.com\nAction: failed\n\n"),
    "recipients in a notice": numbered(HEAD + b"\nnot delivered:\n", b"<u%d@example.com>: no such user\n"),
    "angle addresses in one line": numbered(HEAD + b"\nnot delivered:\n", b"<u%d@example.com> "),
    "unfolded for ever": after(STATUS + b"Diagnostic-Code: x\n", b"yyy\n"),
    "fields of a report": after(STATUS, b"X-Field" + b" \t" * 40 + b"\n"),
    "JSON": after(b"From: no-reply@sns.amazonaws.com\n\n", b'{"notificationType":'),
    "JSON in JSON": after(b"From: no-reply@sns.amazonaws.com\n\n", b'{"Message":"{\\"notificationType\\":['),
    "salad": lambda size_bytes: FAILED + b"<u@example.com>: " + salad(size_bytes),
    "salad for each recipient": salads(FAILED, b"<u%d@example.com>: %s\n", 500),
    "salad in a report": salads(STATUS, b"Final-Recipient: rfc822; u%d@example.com\nDiagnostic-Code: X; %s\n\n", 4_000),
}

BODIES: Final[dict[str, Shape]] = {
    "one line": after(HEAD + b"\n", b"x"),
    "octal": after(HEAD + b"\n550 ", b"\\347\\224"),
    "carriage returns": after(HEAD + b"\r", b"\r"),
    "mixed line ends": after(HEAD + b"\n", b"a\r\r\n\n\r"),
    "NULs between": after(HEAD + b"\n", b"5\x005\x000\x00 \x00<\x00a\x00@\x00b\x00>\x00"),
    "borders": after(HEAD + b"\n", b"original message\n"),
    "borders after rules": after(HEAD + b"\n", b"\n---- original message\nx"),
    "headers of a returned message": after(HEAD + b"\n", b"\nreceived: from"),
    **{
        f"{encoding.decode()} of {pattern!r}, {depth} deep": transferred(encoding, pattern, depth)
        for encoding in (b"base64", b"quoted-printable")
        for pattern in (b"=", b"=\n", b"QUJD!", b"QQ==", b"=41", b"=3D=\n", b"\xff")
        for depth in (0, 15)
    },
    **{
        f"{name} of {pattern!r}": make(pattern)
        for name, make in (("page", partial(after, PAGE)), ("pages", partial(many_parts, b"text/html")))
        for pattern in (
            b"<",
            b"<a ",
            b"<>",
            b"<p>",
            b"<style>",
            b"</style>",
            b"&",
            b"&#x",
            b"&CounterClockwiseContourI",
        )
    },
    **{
        f"only {pattern!r}": after(HEAD + b"\n", pattern)
        for pattern in (
            b"@",
            b"a@",
            b"a@b ",
            b"<",
            b'"a"@',
            b"550 ",
            b" ",
            b"\t\n",
            b"\0",
            b"5.1.",
            b"\xff",
            b"(",
            b"-",
        )
    },
}

# What each regular expression of the classifier has to try longest: named after it.
EXPRESSIONS: Final[dict[str, Shape]] = {
    **{
        f"text.{name}": lines(pattern)
        for name, pattern in {
            "ANGLE": b"<" + b"a" * 80,
            "BARE": b'"' + b"a" * 63,
            "BARE, domain": b"a@" + b"b" * 253 + b" ",
            "LABEL": b"failed recipient address to: ['smtp:",
            "SENTENCE, gaps": b"mail for user ",
            "COMMAND": b"rcpt to : <",
            "NAMED": b"Aa Bb Cc ",
            "_ANOTHER": b"a@b;",
            "_ANOTHER, names": b"a@b; Aa Bb Cc <",
            "_QUOTED_NAME": b"'" + b"a" * 80 + b"' <",
            "EXPANDED": b"alias from ",
            "_WHOLE_LINE": b"550 <<<",
        }.items()
    },
    "text._INTRODUCTION": after(FAILED, b"failed undeliverable not delivered rejected "),
    "recipients.ADDRESS": lines(b"a" * 81),
    "recipients.ADDRESS, refused": lines(b"a@- "),
    "recipients._UNICODE_ESCAPE": after(STATUS + b"Final-Recipient: utf-8; ", b"\\x{FC"),
    "recipients._ADDRESS_TYPE": after(STATUS, b"Final-Recipient: " + b" " * 4_000 + b"x\n\n"),
    "rule._ADDRESS": lines(b"a@b."),
    "diagnosis._REPLY_START": after(FAILED, b" 550-"),
    "diagnosis._OCTAL": after(STATUS + b"Final-Recipient: a@b.example\nDiagnostic-Code: ", b"\\347\\"),
    "status._ENHANCED": after(FAILED, b"5.111.111."),
    "status._REPLY_BEFORE_STATUS": after(FAILED, b"550 " + b"- " * 100),
    "kinds._REPLY_CODE": after(HEAD + b"\n", b" #5.1"),
    "reports._FIELD": after(STATUS, b"a" * 42 + b"\n"),
    "returned header": after(HEAD + b"\n", b">>> Received\t\n"),
    "reader._LIKELY_BOUNDARY": after(HEAD + b"\n", b"--x\n" + b" " * 100),
    "identity._TRACE_HEADERS": after(b"", b"ARC-" + b"a-" * 400 + b"\n"),
    "headers._SPACED_COLON": after(HEAD, b"X" * 76 + b" " * 9 + b"\n"),
    "transfer._ENCODED_WORD": header(b"Subject", b"=?a?q?" + b"x" * 1_999),
    "exchange._X400": after(FAILED + b"did not reach the following recipient\n", b"dda:SMTP="),
    "addresses._ATOM": header(b"X-Failed-Recipients", b"a." * 30 + b"@-,"),
}

SUMS: Final[dict[str, Shape]] = {
    "an apostrophe ends the gap and belongs to an address": lines(b"to''", head=FAILED + b"\nthese failed:\n"),
    "1,000 recipients below a notice of addresses": many_recipients(b"a@b "),
    "salad in reports": salad_reports,
}
"""What is bounded once, and asked for again and again."""

SHAPES: Final = {**STRUCTURES, **BODIES, **EXPRESSIONS, **SUMS}

KIB: Final = 1024
# What they say of themselves: 100,000 levels, 100,000 parts, 1,000,000 headers, ...
HUGE: Final[dict[str, tuple[Shape, int]]] = {
    "100,000 levels": (STRUCTURES["nested in one boundary"], 48 * 100_000),
    "100,000 messages in messages": (STRUCTURES["messages in messages"], 30 * 100_000),
    "100,000 parts": (STRUCTURES["parts with a type"], 34 * 100_000),
    "1,000,000 headers": (STRUCTURES["headers"], 5_000_000),
    "one header of 10 MB": (STRUCTURES["one header"], 10_000 * KIB),
    "encoded words of 10 MB": (STRUCTURES["encoded words"], 10_000 * KIB),
    "semicolons of 10 MB": (STRUCTURES["semicolons"], 10_000 * KIB),
    "one line of 10 MB": (BODIES["one line"], 10_000 * KIB),
    "carriage returns of 10 MB": (BODIES["carriage returns"], 10_000 * KIB),
    "NULs of 10 MB": (BODIES["only b'\\x00'"], 10_000 * KIB),
    "quoted-printable of 10 MB": (BODIES["quoted-printable of b'=41', 15 deep"], 10_000 * KIB),
    "a page of 10 MB of <": (BODIES["page of b'<'"], 10_000 * KIB),
    "1,000,000 recipients": (after(STATUS, b"Final-Recipient: rfc822; u@example.com\nAction: failed\n\n"), 57_000_000),
}
