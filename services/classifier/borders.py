"""Where a notice ends and the message that it returns begins."""

import re
from typing import Final

import re2

from services.classifier.signs import literal_words

_RULE_CHARACTERS: Final = "-=_*|#>+~. \t:"
_RETURNED_HEADER: Final = re.compile(
    r"(?:received|return-path|message-id|mime-version|dkim-signature|delivered-to|x-mailer|content-type|x-originating-ip"
    r"|authentication-results|arc-seal|x-original-to|date|from|to|subject|x-[a-z-]{2,40})[ \t]?:",
    re.IGNORECASE,
)
_CERTAIN: Final = re.compile(
    rb"below this line is a copy|this is a copy of the message|original message follows"
    rb"|(?:returned|unsent|undelivered) (?:mail|message) (?:follows|below)"
)
_BLANK_BEFORE: Final = (b"\n\n", b"-\n", b"=\n", b"*\n")
_BORDER: Final = re2.compile(
    (
        r"(?im)^[-=_*|#>+~. \t:]*(?:(?:" + "|".join(re2.escape(words) for words in literal_words("border")) + r")"
        r"|((?:received: (?:from|by|\()|return-path: ?<|dkim-signature:|message-id: ?<)))"
        r"|^(?:---|===|\*\*\*|\|--)[^\n]{0,80}(?:message|header)"
    ).encode()
)


def split_returned(text: str) -> tuple[str, str]:
    """A notice and what it quotes: from a line that announces the returned message, or from its own first header."""
    encoded = text.encode("utf-8", "replace")
    for found in _BORDER.finditer(encoded):
        start, end = found.span()
        if not start:
            continue
        if found.group(1):
            if encoded[max(0, start - 80) : start].rstrip(b" \t")[-2:] in _BLANK_BEFORE:
                return _decode(encoded[:start]), _decode(encoded[start:])
            continue
        line_end = encoded.find(b"\n", end)
        line_end = len(encoded) if line_end < 0 else line_end
        is_border = _CERTAIN.search(encoded[start:end].lower()) or (
            line_end - start < 160 and _followed_by_headers(_decode(encoded[line_end + 1 : line_end + 4096]))
        )
        if is_border:
            return _decode(encoded[:start]), _decode(encoded[line_end + 1 :])
    return text, ""


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _followed_by_headers(text: str) -> bool:
    """Whether the next lines that say anything are header lines."""
    seen = 0
    for line in text.split("\n", 12)[:12]:
        bare = line.lstrip(" >|\t")
        if not bare.strip(_RULE_CHARACTERS):
            continue
        if _RETURNED_HEADER.match(bare):
            seen += 1
            if seen == 2:
                return True
        elif seen == 0 and not bare.startswith("From "):
            return False
    return seen > 0
