"""Addresses as reports write them, brought to the one spelling the ledger knows."""

import re
from functools import lru_cache
from typing import Final

from services.classifier.transfer import decode_words
from shared.addresses import normalise_address
from shared.errors import InvalidAddress

ADDRESS: Final = re.compile(
    r"(?:\"[^\"\n]{1,64}\"|[^\s<>()\[\]\";:,@=]{1}[^\s<>()\[\]\";:,@]{0,80})@[^\s<>()\[\]\";:,@'`|*/\\]{1,253}"
)
_ADDRESS_TYPE: Final = re.compile(
    r"\s*(?:rfc822|utf-8|rfc-822|smtp|unknown|system|x-[a-z0-9-]{1,30}|x400|dns)\s*;\s*", re.IGNORECASE
)
_UNICODE_ESCAPE: Final = re.compile(r"\\x\{([0-9a-fA-F]{1,6})\}")
_XTEXT: Final = re.compile(r"\+(2B|3D)")


@lru_cache(maxsize=1024)
def clean_address(text: str) -> str:
    """The first mail address in a text, normalised; '' when there is none."""
    if "@" not in text or len(text) > 2048:
        return ""
    if "=?" in text:
        text = decode_words(text)
    start, end = text.find("<"), text.rfind(">")
    if 0 <= start < end:
        inner = text[start + 1 : end].strip()
        if inner.count("@") == 1 and " " not in inner:
            try:
                return normalise_address(_unroute(inner))
            except InvalidAddress:
                pass
    for found in ADDRESS.finditer(text):
        try:
            return normalise_address(found.group(0).strip("'`").rstrip(".,!?>'").removeprefix("mailto:"))
        except InvalidAddress:
            continue
    return ""


def _unroute(text: str) -> str:
    """Without a source route `@a,@b:user@c` (RFC 5321 §4.1.1.3) and the `SMTP:` some gateways put before."""
    return text.rpartition(":")[2] if ":" in text and '"' not in text else text


def field_address(value: str) -> str:
    """The address of a `type; address` field (RFC 3464 §2.3.1, RFC 6533 §3); '' for X.400, pipes and files."""
    bare = value
    found = _ADDRESS_TYPE.match(value)
    if found:
        bare = value[found.end() :]
    if "\\x{" in bare:
        bare = _UNICODE_ESCAPE.sub(_unescape, bare)
    if "+2B" in bare or "+3D" in bare:  # Original-Recipient left in xtext (RFC 3461 §4)
        bare = _XTEXT.sub(lambda match: chr(int(match.group(1), 16)), bare)
    return clean_address(bare.strip())


def _unescape(found: re.Match[str]) -> str:
    point = int(found.group(1), 16)
    return "\ufffd" if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF else chr(point)
