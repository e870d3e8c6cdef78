"""A bounded reader of MIME (RFC 2045, 2046): linear in the size of the message, whatever is inside.

It keeps slices and decodes nothing before somebody asks for it. The standard library's parser needs 20 s for one header
of 195 KB, raises on 1,000 nested parts and loses reports whose fields are written `Name : value`.
"""

import re
from dataclasses import dataclass
from typing import Final

from services.classifier.headers import HEADER_LIMIT, has_long_header, read_headers
from services.classifier.transfer import decode_text, decode_transfer

READ_LIMIT_BYTES: Final = 512 * 1024
HEADER_BLOCK_LIMIT_BYTES: Final = 64 * 1024
TEXT_LIMIT_BYTES: Final = 64 * 1024
DEPTH_LIMIT: Final = 16
PARTS_LIMIT: Final = 200

MESSAGE_TYPES: Final = frozenset({"message/rfc822", "message/global", "message/news", "message/partial"})

_MBOX_FROM: Final = re.compile(rb">?From [^\n]*\n")
_LIKELY_BOUNDARY: Final = re.compile(rb"\n--([^\n]{1,200})\n(?:[ \t]*\n)?content-[a-z-]{4,30}[ \t]*:", re.IGNORECASE)
"""Behind the end of the line before it: a literal, which `re` looks for ten times as fast as for a line's beginning."""
# What a returned message begins with: a boundary after it is not the notice's own.
_RETURNED_HEADER: Final = re.compile(
    rb"^[ >]{0,4}(?:Received|Return-Path|From|Subject|Message-ID|MIME-Version|Date|To)[ \t]?:",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINE: Final = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")


class Part:
    """One MIME entity, opened as far as somebody asks: `body` is still encoded, `parts` are split off when first read.

    A message/rfc822 holds its message as the only element of `parts`.
    """

    __slots__ = (
        "_depth",
        "_parts",
        "_reading",
        "_text",
        "body",
        "content_type",
        "headers",
    )

    def __init__(self, data: bytes, reading: "_Reading", depth: int, default_type: str) -> None:
        reading.parts += 1
        head, self.body = _split_head(data)
        if len(head) > HEADER_LIMIT:
            if len(head) > HEADER_BLOCK_LIMIT_BYTES:
                reading.note("a header block was cut at 64 KB")
                head = head[:HEADER_BLOCK_LIMIT_BYTES]
            if has_long_header(head):
                reading.note("a header was cut at 16 KB")
        self.headers: Final = read_headers(head)
        self.content_type: Final = self.headers.content_type or default_type
        self._reading: Final = reading
        self._depth: Final = depth
        self._parts: list[Part] | None = None
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The body as text, at most 64 KB of it, transfer encoding and charset undone."""
        if self._text is None:
            encoding = self.headers.first("content-transfer-encoding").lower()
            decoded = decode_transfer(self.body[:TEXT_LIMIT_BYTES], encoding)
            self._text = decode_text(decoded, self.headers.parameters.get("charset", ""))
        return self._text

    @property
    def parts(self) -> list["Part"]:
        """What is inside, in order; nothing below 16 levels and after 200 parts."""
        if self._parts is None:
            self._parts = self._open()
        return self._parts

    def _open(self) -> list["Part"]:
        kind = self.content_type
        if self._depth and kind.startswith("text/"):
            return []
        is_multipart = kind.startswith("multipart/")
        if self._depth >= DEPTH_LIMIT:
            if is_multipart or kind.startswith("message/"):
                self._reading.note(f"parts deeper than {DEPTH_LIMIT} were not opened")
            return []
        if is_multipart:
            default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            return self._split(self.headers.parameters.get("boundary", ""), default)
        if kind in MESSAGE_TYPES:
            encoding = self.headers.first("content-transfer-encoding").lower()
            inner = decode_transfer(self.body, encoding) if encoding in ("base64", "quoted-printable") else self.body
            return [Part(inner.lstrip(b"\n"), self._reading, self._depth + 1, "text/plain")]
        if self._depth == 0 and _is_undeclared_multipart(self.body):
            return self._split("", "text/plain")
        return []

    def _split(self, boundary: str, default_type: str) -> list["Part"]:
        slices = _split_body(self.body, boundary.encode("utf-8", "surrogateescape")) if boundary else []
        if not slices:
            guessed = _LIKELY_BOUNDARY.search(b"\n" + self.body)
            if guessed is None:
                return []
            slices = _split_body(self.body, guessed.group(1).rstrip())
        parts: list[Part] = []
        for data in slices:
            if self._reading.parts >= PARTS_LIMIT:
                self._reading.note(f"parts after the first {PARTS_LIMIT} were not read")
                break
            parts.append(Part(data, self._reading, self._depth + 1, default_type))
        return parts


@dataclass(slots=True)
class Mail:
    """A message; `cuts` says in words what was left out of what was opened so far."""

    root: Part
    cuts: list[str]


def read(raw: bytes) -> Mail:
    """The message, opened no further than its own header. Never raises; noise becomes a text without headers."""
    reading = _Reading()
    if len(raw) > READ_LIMIT_BYTES:
        reading.note(f"only the first {READ_LIMIT_BYTES // 1024} KiB were read")
    return Mail(Part(_unify_line_ends(raw[:READ_LIMIT_BYTES]), reading, 0, "text/plain"), reading.cuts)


def _unify_line_ends(raw: bytes) -> bytes:
    """LF only. Lone CRs end lines too: old Macintosh servers and broken gateways write nothing else."""
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = raw.lstrip(b"\n \t")
    found = _MBOX_FROM.match(raw)
    return raw[found.end() :] if found else raw


class _Reading:
    """What the parts of one message share: how many were opened, and what was left out."""

    __slots__ = ("cuts", "parts")

    def __init__(self) -> None:
        self.cuts: list[str] = []
        self.parts = 0

    def note(self, text: str) -> None:
        if text not in self.cuts:
            self.cuts.append(text)


def _is_undeclared_multipart(body: bytes) -> bool:
    """SMTP32 and Netscape lose their own Content-Type, or call a multipart text/plain."""
    beginning = body[:4096]
    if b"--" not in beginning or b"content-" not in beginning.lower():
        return False
    found = _LIKELY_BOUNDARY.search(b"\n" + beginning)
    return found is not None and _RETURNED_HEADER.search(body, 0, found.start()) is None


def _split_head(data: bytes) -> tuple[bytes, bytes]:
    """Header block and body. What does not begin with a header line is all body."""
    if data[:1] == b"\n":
        return b"", data[1:]
    if not _HEADER_LINE.match(data):
        return b"", data
    end = data.find(b"\n\n")
    if end >= 0:
        return data[:end], data[end + 2 :]
    return data, b""


def _split_body(body: bytes, boundary: bytes) -> list[bytes]:
    """The slices between delimiter lines (RFC 2046 §5.1.1); empty when the boundary never occurs.

    Text before the first delimiter is nobody's part. A missing last delimiter ends with the message.
    """
    delimiter = b"--" + boundary
    if body.startswith(delimiter):
        position = 0
    else:
        position = body.find(b"\n" + delimiter) + 1
        if position == 0:
            return []
    spans: list[tuple[int, int]] = []
    needle = b"\n" + delimiter
    while len(spans) <= PARTS_LIMIT:
        line_end = body.find(b"\n", position)
        if line_end < 0:
            break
        rest_of_line = body[position + len(delimiter) : min(line_end, position + len(delimiter) + 80)].strip()
        if rest_of_line == b"--":
            break
        following = body.find(needle, line_end)
        end = following if following >= 0 else len(body)
        # "--b0--x" or "--b0.1" belongs to an inner multipart whose boundary begins like ours: part of the content.
        if rest_of_line and spans:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((line_end + 1, end))
        if following < 0:
            break
        position = following + 1
    return [body[start:end] for start, end in spans]
