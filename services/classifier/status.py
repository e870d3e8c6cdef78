"""Enhanced status codes (RFC 3463) and reply codes (RFC 5321 §4.2), read and, where they are plain, understood."""

import re
from functools import lru_cache
from typing import Final

# The look-behind stands behind the first digit, so that only digits are looked at.
_ENHANCED: Final = re.compile(r"([245](?<![\d.][245])\.\d{1,3}\.\d{1,3})(?![\d.]|\.\d)")
_REPLY: Final = re.compile(r"([245](?<![\d.:/-][245])[0-5]\d)(?:[ \-]|$|(?=[#:;,)<]))")
_REPLY_BEFORE_STATUS: Final = re.compile(r"([245](?<![\d.][245])[0-5]\d)[ \-]+#?([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_SCAN_LIMIT: Final = 1_024

# Codes that say one thing whoever sends them. 5.0.0, 5.1.0, 5.2.0, 5.3.0, 5.5.0, 5.7.0 and 5.7.1 are everybody's, so nobody's.
PLAIN: Final[dict[str, str]] = {
    "5.1.1": "user-unknown", "5.1.10": "user-unknown", "5.1.2": "host-unknown", "5.1.3": "user-unknown",
    "5.1.6": "has-moved", "5.1.7": "rejected", "5.1.8": "rejected", "5.2.1": "suspend", "5.2.2": "mailbox-full",
    "5.2.3": "exceed-limit", "4.3.0": "system-error", "5.3.1": "system-full", "5.3.3": "system-error", "5.3.4": "mesg-too-big",
    "5.3.5": "system-error", "4.4.0": "network-error", "5.4.2": "network-error", "5.4.3": "system-error", "5.4.4": "host-unknown",
    "5.4.6": "network-error", "5.4.7": "expired", "5.4.14": "network-error", "5.5.1": "syntax-error", "5.5.2": "syntax-error",
    "5.6.0": "content-error", "5.6.1": "content-error", "5.6.2": "content-error", "5.6.3": "content-error",
    "5.7.8": "security-error", "5.7.13": "suspend", "5.7.20": "auth-failure", "5.7.23": "auth-failure",
    "5.7.25": "require-ptr", "5.7.26": "auth-failure", "5.7.27": "rejected",
}  # fmt: skip


@lru_cache(maxsize=8)
def find_status(text: str) -> str:
    """The enhanced status code that follows a reply code, else the first one that is not vague; '' when there is none."""
    text = text[:_SCAN_LIMIT]
    found = _REPLY_BEFORE_STATUS.search(text)
    if found:
        return found.group(2)
    codes = _ENHANCED.findall(text)
    for code in codes:
        if code[0] in "45" and not is_vague(code):
            return str(code)
    return str(codes[0]) if codes else ""


@lru_cache(maxsize=8)
def find_reply_code(text: str) -> str:
    """The three digits of the SMTP reply a text quotes; '' when there is none."""
    text = text[:_SCAN_LIMIT]
    found = _REPLY_BEFORE_STATUS.search(text) or _REPLY.search(text)
    return found.group(1) if found else ""


def is_vague(code: str) -> bool:
    """Codes that servers send for want of a better one."""
    return code.endswith(".0.0") or not code


def best_status(reported: str, text: str) -> str:
    """What the report's field says, unless that is vague and the reply it quotes says more."""
    return find_status(text) or reported if is_vague(reported) else reported


def reason_of_status(code: str) -> str:
    """The reason a code means by itself; '' where it does not."""
    if not code:
        return ""
    if code in PLAIN:
        return PLAIN[code]
    soft = PLAIN.get("5" + code[1:], "")
    return soft if code[0] == "4" else ""
