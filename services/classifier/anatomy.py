"""What a message consists of for our purpose: the notice people read, the reports machines read, the returned message.

Most delivery reports tell everything in their fields, so the notice is put together and searched only when it is asked for.
"""

import re
from typing import Final

from services.classifier.borders import split_returned
from services.classifier.headers import Headers
from services.classifier.reader import Mail, Part
from services.classifier.transfer import strip_html

TEXT_LIMIT: Final = 64 * 1024
TEXTS_LIMIT: Final = 8
REPORTS_LIMIT: Final = 16

REPORT_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
DISPOSITION_TYPES: Final = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
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
_INDENTS: Final = " \t>|"
_QUOTE_MARKS: Final = re.compile(r"^>[> ]{0,7}", re.MULTILINE)
_FIELDS_IN_TEXT: Final = re.compile(
    r"^[ >]{0,4}(?:Final-Recipient|Original-Recipient)[ \t]?:", re.IGNORECASE | re.MULTILINE
)


class Anatomy:
    """The pieces of one message. `notice` ends where the returned message begins."""

    __slots__ = (
        "_notice", "_pages", "_returned", "_texts",
        "content_type", "disposition", "feedback", "has_fields_in_text", "head", "report_type", "reports",
    )  # fmt: skip

    def __init__(self, root: Part) -> None:
        self.head: Final = root.headers
        self.content_type: Final = root.content_type
        self.report_type: Final = root.headers.parameters.get("report-type", "").lower()
        self.reports: list[str] = []
        self.feedback = ""
        self.disposition = ""
        self._texts: list[Part] = []
        self._pages: list[Part] = []
        self._notice: str | None = None
        self._returned: Headers | None = None
        self._collect(root)
        self.has_fields_in_text = False
        if not self.reports and "-recipient" in self.notice.lower() and _FIELDS_IN_TEXT.search(self.notice):
            self.has_fields_in_text = True
            self.reports.append(_QUOTE_MARKS.sub("", self.notice))

    @property
    def notice(self) -> str:
        """At most 64 KB of what is written for people."""
        return self._read_notice() if self._notice is None else self._notice

    @property
    def returned(self) -> Headers | None:
        """The header of the message that came back, from a part of its own or from the end of the notice."""
        if self._returned is None and self._notice is None:
            self._read_notice()
        return self._returned

    def _read_notice(self) -> str:
        """Put the texts together, and take from them the message that they return."""
        text = "\n".join(part.text for part in self._texts if part.text.strip())
        if not text.strip() and self._pages:
            text = "\n".join(strip_html(page.text) for page in self._pages)
        text = text[:TEXT_LIMIT]
        self._notice, quoted = split_returned(text)
        returned = _read_returned(quoted) if quoted else None
        if returned is not None and _is_daemon(returned) and _is_daemon(self.head):
            self._notice = text  # one server passes on what another wrote
        elif self._returned is None:
            self._returned = returned
        return self._notice

    def _collect(self, part: Part) -> None:
        kind = part.content_type
        if kind in REPORT_TYPES:
            if len(self.reports) < REPORTS_LIMIT:
                self.reports.append(part.text)
        elif kind == "message/feedback-report":
            self.feedback = self.feedback or part.text
        elif kind in DISPOSITION_TYPES:
            self.disposition = self.disposition or part.text
        elif kind in RETURNED_TYPES:
            self._take_returned(part)
        elif part.parts:
            for child in part.parts:
                self._collect(child)
        elif kind == "text/html":
            self._pages.append(part)
        elif kind.startswith(("text/", "multipart/")) and len(self._texts) < TEXTS_LIMIT:
            self._texts.append(part)  # a multipart without any boundary is text

    def _take_returned(self, part: Part) -> None:
        if self._returned is not None:
            return
        if not part.parts:
            self._returned = _read_returned(part.text)
            return
        inner = part.parts[0]
        if (
            not self.reports
            and "delivery-status" in inner.headers.parameters.get("report-type", "")
            and _is_daemon(self.head)
        ):
            self._collect(inner)  # InterScan and TrendMicro gateways wrap the report of the server behind them
        else:
            self._returned = inner.headers


def dissect(mail: Mail) -> Anatomy:
    """The pieces of a message."""
    return Anatomy(mail.root)


def _is_daemon(head: Headers) -> bool:
    sender = head.first("from").lower()
    return "daemon" in sender or "postmaster" in sender


def _read_returned(text: str) -> Headers | None:
    """The header of a message quoted in a text, with or without an indent."""
    head = text.lstrip("\n").partition("\n\n")[0]
    if head[:1] in _INDENTS:
        lines = head.split("\n")
        indent = min((len(line) - len(line.lstrip(_INDENTS)) for line in lines[:3] if line.strip()), default=0)
        head = "\n".join(line[indent:] for line in lines)
    return Headers(head) or None
