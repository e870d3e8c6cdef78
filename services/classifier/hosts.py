"""Which host answered, where only the text of a notice says so."""

import re
from typing import Final

_NAME: Final = r"([a-z0-9_](?:[a-z0-9_-]{0,62}\.){1,8}[a-z]{2,24})"
_ANSWERED: Final = re.compile(
    # Postfix and Exim: host NAME [192.0.2.1] said; Sendmail: while talking to NAME; Gmail: by NAME. [192.0.2.1]
    rf"\b(?:host|talking to|by|to|from) {_NAME}\.?\s?(?:\[|\(|:)"
    # Exchange: NAME rejected your message, NAME gave this error, #<NAME #5.1.1 smtp;550 …>
    rf"|{_NAME} (?:rejected your message|gave this error|said)|<{_NAME} #[45]\.",
    re.IGNORECASE,
)


def find_host(text: str) -> str:
    """The first host that a text says has answered, in lower case; '' when it names none."""
    found = _ANSWERED.search(text[:2048])
    return next(filter(None, found.groups())).lower() if found else ""
