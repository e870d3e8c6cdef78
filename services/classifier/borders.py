"""Where a notice ends and the message that it returns begins."""

import re
from typing import Final

from services.classifier.signs import literal_words

_RULE_CHARACTERS: Final = "-=_*|#>+~. \t:"
_RETURNED_HEADER: Final = re.compile(
    r"(?:received|return-path|message-id|mime-version|dkim-signature|delivered-to|x-mailer|content-type|x-originating-ip"
    r"|authentication-results|arc-seal|x-original-to|date|from|to|subject|x-[a-z-]{2,40})[ \t]?:",
    re.IGNORECASE,
)
_CERTAIN: Final = re.compile(
    r"below this line is a copy|this is a copy of the message|original message follows"
    r"|(?:returned|unsent|undelivered) (?:mail|message) (?:follows|below)"
)
_BLANK_BEFORE: Final = ("\n\n", "-\n", "=\n", "*\n")
# Over lower case, from the line end before. Possessive, so that a rule of dashes is read once.
_BORDER: Final = re.compile(
    r"\n[-=_*|#>+~. \t:]*+(?:(?:" + "|".join(map(re.escape, literal_words("border"))) + r")"
    r"|(received: (?:from|by|\()|return-path: ?<|dkim-signature:|message-id: ?<))"
    r"|\n(?:---|===|\*\*\*|\|--)[^\n]{0,80}(?:message|header)"
)


def split_returned(text: str) -> tuple[str, str]:
    """A notice and what it quotes: from a line that announces the returned message, or from its own first header."""
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters become two, and places would not agree
        lowered = "".join(letter.lower()[0] for letter in text)
    for found in _BORDER.finditer(lowered):
        start, end = found.start() + 1, found.end()
        if found.group(1):
            if text[max(0, start - 80) : start].rstrip(" \t")[-2:] in _BLANK_BEFORE:
                return text[:start], text[start:]
            continue
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end
        is_border = _CERTAIN.search(lowered, start, end) or (
            line_end - start < 160 and _followed_by_headers(text[line_end + 1 : line_end + 4096])
        )
        if is_border:
            return text[:start], text[line_end + 1 :]
    return text, ""


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
