"""What a message consists of for our purpose: the notice people read, the reports machines read, the returned message."""

import re
from dataclasses import dataclass, field
from typing import Final

import re2

from services.classifier.headers import Headers
from services.classifier.reader import Mail, Part
from services.classifier.signs import sign_words
from services.classifier.transfer import strip_html

TEXT_LIMIT: Final = 64 * 1024

REPORT_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED_TYPES: Final = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
# A bare "Final-Recipient" in a text: Amazon WorkMail, SMTP32 and forwarded reports carry the fields in a text part.
_FIELDS_IN_TEXT: Final = re.compile(
    r"^[ >]{0,4}(?:Final-Recipient|Original-Recipient)[ \t]?:", re.IGNORECASE | re.MULTILINE
)

_RULE_CHARACTERS: Final = "-=_*|#>+~. \t:"
_RETURNED_HEADER: Final = re.compile(
    r"(?:received|return-path|message-id|mime-version|dkim-signature|delivered-to|x-mailer|content-type|x-originating-ip"
    r"|authentication-results|arc-seal|x-original-to|date|from|to|subject|x-[a-z-]{2,40})[ \t]?:",
    re.IGNORECASE,
)
_CERTAIN_BORDER: Final = re.compile(
    r"below this line is a copy|this is a copy of the message|original message follows"
    r"|(?:returned|unsent|undelivered) (?:mail|message) (?:follows|below)"
)
_BORDER: Final = re2.compile(
    r"(?im)^[-=_*|#>+~. \t:]*(?:(?P<words>" + sign_words("border").pattern + r")"
    r"|(?P<header>(?:received: (?:from|by|\()|return-path: ?<|dkim-signature:|message-id: ?<)))"
    r"|^(?:---|===|\*\*\*|\|--)[^\n]{0,80}(?:message|header)"
)


@dataclass(slots=True)
class Anatomy:
    """The pieces of one message. `notice` ends where the returned message begins."""

    head: Headers
    content_type: str
    report_type: str
    notice: str = ""
    reports: list[str] = field(default_factory=list)
    feedback: str = ""
    disposition: str = ""
    returned: Headers | None = None


def dissect(mail: Mail) -> Anatomy:
    root = mail.root
    anatomy = Anatomy(root.headers, root.content_type, root.parameters.get("report-type", "").lower())
    texts: list[str] = []
    pages: list[Part] = []
    _collect(root, anatomy, texts, pages)
    notice = "\n".join(text for text in texts if text.strip())
    if not notice.strip() and pages:
        notice = "\n".join(strip_html(page.text) for page in pages)
    notice = notice[:TEXT_LIMIT]
    notice, returned = split_returned(notice)
    anatomy.notice = notice
    if anatomy.returned is None and returned:
        _take_returned_text(anatomy, returned)
    if not anatomy.reports and _FIELDS_IN_TEXT.search(notice):
        anatomy.reports.append(notice)
    return anatomy


def _collect(part: Part, anatomy: Anatomy, texts: list[str], pages: list[Part]) -> None:
    kind = part.content_type
    if kind in REPORT_TYPES:
        anatomy.reports.append(part.text)
    elif kind == "message/feedback-report":
        anatomy.feedback = anatomy.feedback or part.text
    elif kind in ("message/disposition-notification", "message/global-disposition-notification"):
        anatomy.disposition = anatomy.disposition or part.text
    elif kind in RETURNED_TYPES:
        _take_returned_part(part, anatomy, texts, pages)
    elif part.parts:
        for child in part.parts:
            _collect(child, anatomy, texts, pages)
    elif kind == "text/html":
        pages.append(part)
    elif kind.startswith("text/"):
        if len(texts) < 8:
            texts.append(part.text)
    elif kind.startswith("multipart/"):
        texts.append(part.text)  # no boundary to be found: what there is, is text


def _is_daemon(head: Headers) -> bool:
    sender = head.first("from").lower()
    return "daemon" in sender or "postmaster" in sender


def _take_returned_part(part: Part, anatomy: Anatomy, texts: list[str], pages: list[Part]) -> None:
    if anatomy.returned is not None:
        return
    if part.parts:
        inner = part.parts[0]
        if (
            inner.parameters.get("report-type", "").lower() == "delivery-status"
            and not anatomy.reports
            and _is_daemon(anatomy.head)
        ):
            # InterScan and TrendMicro gateways wrap the report of the server behind them.
            _collect(inner, anatomy, texts, pages)
            return
        anatomy.returned = inner.headers
    else:
        _take_returned_text(anatomy, part.text)


def _take_returned_text(anatomy: Anatomy, text: str) -> None:
    lines = text.lstrip("\n").split("\n")
    indent = min((len(line) - len(line.lstrip(" \t>|")) for line in lines[:3] if line.strip()), default=0)
    if indent:
        lines = [line[indent:] for line in lines]
    block = "\n".join(lines).partition("\n\n")[0]
    headers = Headers(block)
    if headers:
        anatomy.returned = headers


def split_returned(text: str) -> tuple[str, str]:
    """A notice and what it quotes: from a line that announces the returned message, or from its own first header."""
    for found in _BORDER.finditer(text):
        start = found.start()
        line_end = text.find("\n", found.end())
        line_end = len(text) if line_end < 0 else line_end
        if found.group("header"):
            if start and text[:start].rstrip(" \t")[-2:] in ("\n\n", "-\n", "=\n", "*\n"):
                return text[:start], text[start:]
            continue
        if start and _CERTAIN_BORDER.search(found.group(0).lower()):
            return text[:start], text[line_end + 1 :]
        rest = text[line_end + 1 : line_end + 4096].split("\n", 14)
        if start and line_end - start < 160 and _followed_by_headers(rest):
            return text[:start], text[line_end + 1 :]
    return text, ""


def _followed_by_headers(lines: list[str]) -> bool:
    """Whether the next lines that say anything are header lines."""
    seen = 0
    for line in lines[:12]:
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
