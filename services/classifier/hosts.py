"""Which host answered, where only the text of a notice says so."""

from typing import Final

import re2

SCAN_LIMIT: Final = 2_048

_NAME: Final = r"([a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_-]+)*\.[a-z]{2,24})"
_ANSWERED: Final = re2.compile(
    (
        # Postfix and Exim: host NAME [192.0.2.1] said; Sendmail: while talking to NAME; Gmail: by NAME. [192.0.2.1]
        rf"\b(?:host|talking to|by|to|from) {_NAME}\.? ?[\[(:]"
        # Exchange: NAME rejected your message, NAME gave this error, #<NAME #5.1.1 smtp;550 …>
        rf"|{_NAME} (?:rejected your message|gave this error|said)|<{_NAME} #[45]\."
    ).encode()
)


def find_host(text: str) -> str:
    """The first host that a text says has answered, in lower case; '' when it names none."""
    found = _ANSWERED.search(text[:SCAN_LIMIT].lower().encode("utf-8", "replace"))
    return str(next(filter(None, found.groups())).decode()) if found else ""
