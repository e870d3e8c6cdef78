"""Header fields of one entity, kept as text and looked up without regard to case (RFC 5322 §2.2)."""

import re
from functools import lru_cache
from typing import Final

from services.classifier.transfer import decode_text, decode_words

HEADER_LIMIT: Final = 16 * 1024
HEADERS_LIMIT: Final = 1_000
KNOWN_LIMIT_BYTES: Final = 200

_FOLD: Final = re.compile(r"\n[ \t]+")
# Exchange gateways write `Name : value`.
_FIELD: Final = re.compile(r"^[!-9;-~]{1,76}[ \t]{0,8}:", re.MULTILINE)
_VALUE: Final = re.compile(r"[ \t]{0,8}:(.*(?:\n[ \t].*)*)")
_FIELD_START: Final = re.compile(rb"\n(?=[^ \t\n])")
_USUAL_TYPES: Final = frozenset(
    {"text/plain", "text/html", "multipart/report", "multipart/mixed", "multipart/alternative", "message/rfc822",
     "message/delivery-status", "text/rfc822-headers"}
)  # fmt: skip
_TYPE: Final = re.compile(r"\s*([a-z0-9!#$&^_.+*-]{1,64})\s*/\s*([a-z0-9!#$&^_.+*-]{1,100})", re.IGNORECASE)


class Headers:
    """The fields of a header block, looked for when they are asked for: of a few dozen fields few ever are."""

    __slots__ = ("_lowered", "_parameters", "_text", "_type")

    def __init__(self, text: str) -> None:
        self._text: Final = f"\n{text}"
        self._lowered: Final = _lower(self._text)
        self._type: Final = self.first("content-type")
        self._parameters: dict[str, str] | None = None

    @property
    def content_type(self) -> str:
        """The media type in lower case, or ''."""
        return media_type(self._type)

    @property
    def parameters(self) -> dict[str, str]:
        """Of Content-Type, names in lower case."""
        if self._parameters is None:
            self._parameters = parse_parameters(self._type) if "=" in self._type else {}
        return self._parameters

    def first(self, name: str) -> str:
        """The first value, unfolded, otherwise as it stands in the message; '' when there is none."""
        found = self._find(name)
        return _unfold(found.group(1)) if found else ""

    def all(self, name: str) -> list[str]:
        """Every value, at most 1,000."""
        values: list[str] = []
        found = self._find(name)
        while found is not None and len(values) < HEADERS_LIMIT:
            values.append(_unfold(found.group(1)))
            found = self._find(name, found.end())
        return values

    def decoded(self, name: str) -> str:
        """The first value with its encoded words (RFC 2047) decoded, or ''."""
        value = self.first(name)
        return decode_words(value) if "=?" in value else value

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __bool__(self) -> bool:
        return _FIELD.search(self._text) is not None

    def _find(self, name: str, position: int = 0) -> re.Match[str] | None:
        """The next field of this name, given in lower case; group 1 is its value."""
        start = f"\n{name}"
        position = self._lowered.find(start, position)
        while position >= 0:
            position += len(start)
            if found := _VALUE.match(self._text, position):
                return found
            position = self._lowered.find(start, position)
        return None


def _lower(text: str) -> str:
    """Names are ASCII; other letters stay, for some become two in lower case, and places would not agree."""
    return (
        text.lower()
        if text.isascii()
        else text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    )


def _unfold(value: str) -> str:
    return _FOLD.sub(" ", value[:HEADER_LIMIT]).strip() if "\n" in value else value[:HEADER_LIMIT].strip()


def read_headers(block: bytes) -> Headers:
    """The fields of a header block with LF line ends."""
    return _read_known(block) if len(block) <= KNOWN_LIMIT_BYTES else _read(block)


def _read(block: bytes) -> Headers:
    return Headers(block.decode("ascii") if block.isascii() else decode_text(block, ""))


# The parts of reports have the same few lines again and again.
_read_known: Final = lru_cache(maxsize=512)(_read)


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
