"""Transfer encodings, charsets and encoded words, undone without ever raising (RFC 2045 §6, RFC 2047)."""

import binascii
import codecs
import html
import re
from typing import Final

_ENCODED_WORD: Final = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]{0,2000})\?=(?:\s+(?==\?))?")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]+")
_SPACES: Final = re.compile(r"[ \t]{2,}")
_BLOCK_TAGS: Final = (
    "br",
    "p",
    "/p",
    "div",
    "/div",
    "tr",
    "/tr",
    "td",
    "/td",
    "li",
    "h1",
    "h2",
    "h3",
    "/h1",
    "/h2",
    "pre",
    "/pre",
)
_CODEC_ALIASES: Final = {
    "utf8": "utf-8",
    "x-unknown": "",
    "unknown-8bit": "",
    "ks_c_5601-1987": "cp949",
    "gb2312": "gb18030",
}
_EXTEND_ASCII: Final = frozenset({"", "us-ascii", "ascii", "utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"})
_WORDS_LIMIT: Final = 4096
# Codecs that turn text into something else (rot13, zlib, idna, …) or are slow are never worth obeying.
_REFUSED_CODECS: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """The bytes behind base64 or quoted-printable; broken input gives what can be had."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        compact = _NOT_BASE64.sub(b"", body)
        compact = compact[: len(compact) - (1 if len(compact) % 4 == 1 else 0)]
        try:
            return binascii.a2b_base64(compact + b"=" * (-len(compact) % 4))
        except binascii.Error:
            return body
    return body


def decode_text(data: bytes, charset: str) -> str:
    """The declared charset, else UTF-8, else Latin-1, which always fits."""
    name = charset.strip().strip("\"'").lower()
    if data.isascii() and name in _EXTEND_ASCII:
        return data.decode("ascii")
    name = _CODEC_ALIASES.get(name, name)
    if not name or name in ("utf-8", "us-ascii", "ascii"):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as exc:
            if exc.start >= len(data) - 3 and data:  # the limit cut a character in two
                return data[: exc.start].decode("utf-8")
            return data.decode("latin-1")
    try:
        codec = codecs.lookup(name)
        if codec.name in _REFUSED_CODECS or not codec._is_text_encoding:
            return decode_text(data, "")
        try:
            return _without_surrogates(data.decode(codec.name))
        except UnicodeDecodeError:
            fallback = decode_text(data, "")  # relays convert to UTF-8 and leave the declaration
            return (
                fallback
                if not fallback.isascii() and codec.name.startswith("iso2022")
                else _without_surrogates(data.decode(codec.name, "replace"))
            )
    except (LookupError, ValueError, OverflowError):
        return decode_text(data, "")


def _without_surrogates(text: str) -> str:
    """UTF-7 and its kin decode to halves of characters that nothing can encode again."""
    return text.encode("utf-8", "replace").decode("utf-8")


def decode_words(value: str) -> str:
    """RFC 2047 encoded words decoded, at most 4 KB of them."""

    def decode(found: re.Match[str]) -> str:
        charset, encoding, payload = found.groups()
        data = payload.encode("utf-8", "replace")
        data = decode_transfer(data, "base64") if encoding in "bB" else binascii.a2b_qp(data, header=True)
        return decode_text(data, charset.partition("*")[0])

    return _ENCODED_WORD.sub(decode, value[:_WORDS_LIMIT])


def strip_html(text: str) -> str:
    """The words of a page, a line for every block; linear, because no tag is looked for twice."""
    pieces: list[str] = []
    skipping = ""
    for chunk in text.split("<"):
        tag, closed, words = chunk.partition(">")
        if not closed:
            if not skipping:
                pieces.append(chunk if not pieces else " ")
            continue
        name = tag[:12].lower().split(None, 1)[0] if tag.strip() else ""
        if skipping:
            if name == skipping or name == "body":
                skipping = ""
            else:
                continue
        if name in ("style", "script", "head"):
            skipping = "/" + name
            continue
        if name.rstrip("/") in _BLOCK_TAGS:
            pieces.append("\n")
        pieces.append(words)
    return _SPACES.sub(" ", html.unescape("".join(pieces)))
