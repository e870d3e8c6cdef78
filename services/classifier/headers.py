"""Header fields of one entity, kept as text and looked up without regard to case (RFC 5322 §2.2)."""

import re
from typing import Final

from services.classifier.transfer import decode_text, decode_words

HEADER_LIMIT: Final = 16 * 1024
HEADERS_LIMIT: Final = 1_000

_FOLD: Final = re.compile(r"\n[ \t]+")
_FIELD_START: Final = re.compile(rb"\n(?=[^ \t\n])")
_SPACED_COLON: Final = re.compile(r"\n([!-9;-~]{1,76})[ \t]{1,8}:")
_USUAL_TYPES: Final = frozenset(
    {"text/plain", "text/html", "multipart/report", "multipart/mixed", "multipart/alternative", "message/rfc822",
     "message/delivery-status", "text/rfc822-headers"}
)  # fmt: skip
_TYPE: Final = re.compile(r"\s*([a-z0-9!#$&^_.+*-]{1,64})\s*/\s*([a-z0-9!#$&^_.+*-]{1,100})", re.IGNORECASE)


class Headers:
    """A header block, searched when somebody asks: most of a bounce's headers are never looked at."""

    __slots__ = ("_lowered", "_text")

    def __init__(self, text: str) -> None:
        self._text = "\n" + text
        lowered = self._text.lower()
        # Exchange gateways write `Name : value`; a character whose lower case is longer would shift the offsets.
        if " :" in lowered or "\t:" in lowered or len(lowered) != len(self._text):
            self._text = _SPACED_COLON.sub(r"\n\1:", self._text)
            lowered = self._text.lower()
            if len(lowered) != len(self._text):
                self._text = self._text.encode("ascii", "replace").decode("ascii")
                lowered = self._text.lower()
        self._lowered = lowered

    def first(self, name: str) -> str:
        """The first value, unfolded, otherwise as it stands in the message; '' when there is none."""
        start = self._lowered.find(f"\n{name}:")
        return self._value(start + len(name) + 2) if start >= 0 else ""

    def all(self, name: str) -> list[str]:
        """Every value, at most 1,000."""
        values: list[str] = []
        start = self._lowered.find(f"\n{name}:")
        while start >= 0 and len(values) < HEADERS_LIMIT:
            values.append(self._value(start + len(name) + 2))
            start = self._lowered.find(f"\n{name}:", start + 1)
        return values

    def decoded(self, name: str) -> str:
        """The first value with its encoded words (RFC 2047) decoded, or ''."""
        value = self.first(name)
        return decode_words(value) if "=?" in value else value

    def __contains__(self, name: str) -> bool:
        return f"\n{name}:" in self._lowered

    def __bool__(self) -> bool:
        return ":" in self._text

    def _value(self, start: int) -> str:
        text = self._text
        limit = start + HEADER_LIMIT
        end = text.find("\n", start)
        if start <= end <= limit and text[end + 1 : end + 2] not in (" ", "\t"):
            return text[start:end].strip()
        while 0 <= end < limit and text[end + 1 : end + 2] in (" ", "\t") and end + 1 < len(text):
            end = text.find("\n", end + 1)
        value = text[start : limit if end < 0 or end > limit else end]
        return _FOLD.sub(" ", value).strip()


def read_headers(block: bytes) -> Headers:
    """The fields of a header block with LF line ends; lines that are no fields are passed over."""
    return Headers(block.decode("ascii") if block.isascii() else decode_text(block, ""))


def has_long_header(block: bytes) -> bool:
    """Whether a field of this block is longer than what is read of one."""
    if len(block) <= HEADER_LIMIT:
        return False
    return any(len(field) > HEADER_LIMIT for field in _FIELD_START.split(block))


def media_type(value: str) -> str:
    """The media type of a Content-Type in lower case (RFC 2045 §5.1); '' where the value is none."""
    kind = value.partition(";")[0].strip().lower()
    if kind in _USUAL_TYPES:
        return kind
    found = _TYPE.match(kind)
    return f"{found.group(1)}/{found.group(2)}" if found else ""


def parse_parameters(value: str) -> dict[str, str]:
    """At most 32 parameters behind the media type, by one walk over the text; quoted strings may hold semicolons."""
    text = value.partition(";")[2]
    if not text:
        found = _TYPE.match(value)
        text = value[found.end() :] if found else ""
    parameters: dict[str, str] = {}
    position = 0
    for _ in range(32):
        equals = text.find("=", position)
        if equals < 0:
            break
        name = text[position:equals].strip(" \t;,").lower()
        start = equals + 1
        while start < len(text) and text[start] in " \t":
            start += 1
        if text[start : start + 1] == '"':
            end = text.find('"', start + 1)
            end = len(text) if end < 0 else end
            value, position = text[start + 1 : end], end + 1
        else:
            end = text.find(";", start)
            end = len(text) if end < 0 else end
            value, position = text[start:end].strip(), end
        if name and name not in parameters:
            parameters[name.rpartition(";")[2].strip()] = value
    return parameters
