"""A bounded reader of MIME (RFC 2045, 2046): linear in the size of the message, whatever is inside.

It keeps slices and decodes nothing before somebody asks for it. The standard library's parser needs 20 s for one header
of 195 KB, raises on 1,000 nested parts and loses reports whose fields are written `Name : value`.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from services.classifier.headers import Headers, has_long_header, parse_content_type, read_headers
from services.classifier.transfer import decode_text, decode_transfer

READ_LIMIT_BYTES: Final = 512 * 1024
HEADER_BLOCK_LIMIT_BYTES: Final = 64 * 1024
TEXT_LIMIT_BYTES: Final = 64 * 1024
DEPTH_LIMIT: Final = 16
PARTS_LIMIT: Final = 200

MESSAGE_TYPES: Final = frozenset({"message/rfc822", "message/global", "message/news", "message/partial"})

_MBOX_FROM: Final = re.compile(rb">?From [^\n]*\n")
_LIKELY_BOUNDARY: Final = re.compile(
    rb"^--([^\n]{1,200})\n(?:[ \t]*\n)?content-[a-z-]{4,30}[ \t]*:", re.IGNORECASE | re.MULTILINE
)
# What a returned message begins with: a boundary after it is not the notice's own.
_RETURNED_HEADER: Final = re.compile(
    rb"^[ >]{0,4}(?:Received|Return-Path|From|Subject|Message-ID|MIME-Version|Date|To)[ \t]?:",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINE: Final = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")


@dataclass(slots=True)
class Part:
    """One MIME entity; `body` is still encoded. A message/rfc822 holds its message as the only element of `parts`."""

    headers: Headers
    content_type: str
    parameters: dict[str, str]
    body: bytes
    parts: list["Part"] = field(default_factory=list)
    _text: str | None = None

    @property
    def text(self) -> str:
        """The body as text, at most 64 KB of it, transfer encoding and charset undone."""
        if self._text is None:
            encoding = self.headers.first("content-transfer-encoding").strip().lower()
            decoded = decode_transfer(self.body[:TEXT_LIMIT_BYTES], encoding)
            self._text = decode_text(decoded, self.parameters.get("charset", ""))
        return self._text


@dataclass(slots=True)
class Mail:
    """A message as far as it was read; `cuts` says in words what was left out."""

    root: Part
    cuts: list[str]


def read(raw: bytes) -> Mail:
    """The tree of parts. Never raises; noise becomes a text without headers."""
    reader = _Reader()
    if len(raw) > READ_LIMIT_BYTES:
        reader.cuts.append(f"only the first {READ_LIMIT_BYTES // 1024} KiB were read")
    root = reader.entity(_unify_line_ends(raw[:READ_LIMIT_BYTES]), 0, "text/plain")
    return Mail(root, reader.cuts)


def _unify_line_ends(raw: bytes) -> bytes:
    """LF only. Lone CRs end lines too: old Macintosh servers and broken gateways write nothing else."""
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = raw.lstrip(b"\n \t")
    found = _MBOX_FROM.match(raw)
    return raw[found.end() :] if found else raw


class _Reader:
    __slots__ = ("cuts", "parts_read")

    def __init__(self) -> None:
        self.cuts: list[str] = []
        self.parts_read = 0

    def entity(self, data: bytes, depth: int, default_type: str) -> Part:
        self.parts_read += 1
        head, body = _split_head(data)
        if len(head) > HEADER_BLOCK_LIMIT_BYTES:
            self._note("a header block was cut at 64 KB")
            head = head[:HEADER_BLOCK_LIMIT_BYTES]
        headers = read_headers(head)
        if has_long_header(head):
            self._note("a header was cut at 16 KB")
        content_type, parameters = parse_content_type(headers.first("content-type"), default_type)
        part = Part(headers, content_type, parameters, body)
        if depth >= DEPTH_LIMIT:
            if content_type.startswith(("multipart/", "message/")):
                self._note(f"parts deeper than {DEPTH_LIMIT} were not opened")
            return part
        if content_type.startswith("multipart/"):
            child_type = "message/rfc822" if content_type == "multipart/digest" else "text/plain"
            self._split_into(part, parameters.get("boundary", ""), depth, child_type)
        elif content_type in MESSAGE_TYPES:
            encoding = headers.first("content-transfer-encoding").strip().lower()
            inner = decode_transfer(body, encoding) if encoding in ("base64", "quoted-printable") else body
            part.parts.append(self.entity(inner.lstrip(b"\n"), depth + 1, "text/plain"))
        elif depth == 0 and _is_undeclared_multipart(body):
            self._split_into(part, "", depth, "text/plain")
        return part

    def _split_into(self, part: Part, boundary: str, depth: int, child_type: str) -> None:
        slices = _split_body(part.body, boundary.encode("utf-8", "surrogateescape")) if boundary else []
        if not slices:
            guessed = _LIKELY_BOUNDARY.search(part.body)
            if guessed is None:
                return
            slices = _split_body(part.body, guessed.group(1).rstrip())
        for data in slices:
            if self.parts_read >= PARTS_LIMIT:
                self._note(f"parts after the first {PARTS_LIMIT} were not read")
                return
            part.parts.append(self.entity(data, depth + 1, child_type))

    def _note(self, text: str) -> None:
        if text not in self.cuts:
            self.cuts.append(text)


def _is_undeclared_multipart(body: bytes) -> bool:
    """SMTP32 and Netscape lose their own Content-Type, or call a multipart text/plain."""
    found = _LIKELY_BOUNDARY.search(body[:4096])
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
