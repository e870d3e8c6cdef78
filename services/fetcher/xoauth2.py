"""SASL XOAUTH2, and what servers say when they take no password, or not this token. Pure.

As Google and Microsoft define it for IMAP and POP3; the response is `user=` and `auth=Bearer`, each ended by Ctrl-A.
"""

import json
import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

MECHANISM: Final = "XOAUTH2"
_TOKEN_METHODS: Final = frozenset({"AUTH=XOAUTH2", "AUTH=OAUTHBEARER"})
_LOGIN_DISABLED: Final = "LOGINDISABLED"
_NO_PASSWORDS: Final = re.compile(
    r"basic ?auth(?:entication)? ?(?:is )?(?:blocked|disabled)"  # Exchange Online, as text and as "LogonDenied-BasicAuthBlocked"
    r"|\b5\.7\.139\b"
    r"|application-specific password|invalidsecondfactor"  # Gmail: an account with two factors
    r"|webalert|web login required|log ?in via your web browser",  # Gmail: "less secure apps"
    re.IGNORECASE,
)
_ONLY_TOKENS_AT: Final = re.compile(
    r"(?:^|\.)(?:office365\.(?:com|us)|outlook\.com)$|(?:^|\.)partner\.outlook\.cn$", re.IGNORECASE
)
"""Exchange Online still lists PLAIN, and often says no more than "LOGIN failed"; it took its last password in January 2023."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Why a token was refused, as far as the server says. Both may be empty."""

    status: str = ""
    """As an HTTP status ("400", "401") or a word ("invalid_token")."""
    scope: str = ""
    """What a token would need."""


def initial_response(user: str, token: str) -> bytes:
    """Not yet in base64. Neither may hold a Ctrl-A."""
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


def read_challenge(challenge: bytes) -> Challenge:
    """Empty where it is not the JSON that Google documents."""
    try:
        fields = json.loads(challenge)
    except (ValueError, RecursionError):
        return Challenge()
    if not isinstance(fields, dict):
        return Challenge()
    return Challenge(_word(fields.get("status")), _word(fields.get("scope")))


def methods_of_pop3(capabilities: bytes) -> frozenset[str]:
    """What CAPA lists (RFC 2449 §6), in IMAP's words: AUTH=MECHANISM, and LOGINDISABLED when USER is not there."""
    lines = [line.upper().split() for line in capabilities.decode("ascii", "replace").splitlines() if line.strip()]
    mechanisms = {f"AUTH={name}" for words in lines if words[0] == "SASL" for name in words[1:]}
    takes_user = any(words[0] == "USER" for words in lines)
    return frozenset(mechanisms if takes_user else mechanisms | {_LOGIN_DISABLED})


def takes_no_password(host: str, said: str, methods: Set[str]) -> bool:
    """Whether a password was refused because the server takes tokens only, whoever logs in.

    `methods` are its capabilities over the encrypted connection; empty when it named none.
    """
    if _NO_PASSWORDS.search(said) or _ONLY_TOKENS_AT.search(host):
        return True
    takes_passwords = _LOGIN_DISABLED not in methods or bool(methods & {"AUTH=PLAIN", "AUTH=LOGIN"})
    return bool(methods & _TOKEN_METHODS) and not takes_passwords


def _word(value: object) -> str:
    text = str(value) if isinstance(value, (str, int)) else ""
    return "".join(character for character in text if character.isprintable())[:200]
