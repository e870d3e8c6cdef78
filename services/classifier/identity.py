"""Which failed send an outcome is about, so that every report about it has the same name (tiers 2 to 4)."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from services.classifier.headers import Headers
from shared.identity import canonical_bytes, event_id

READ_LIMIT_BYTES: Final = 512 * 1024

_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{3,400})>")
_TRACE_HEADERS: Final = re.compile(
    rb"^(?:Received|Return-Path|Delivered-To|X-Original-To|Envelope-To|Authentication-Results|ARC-[A-Za-z-]+|DKIM-Signature|Received-SPF"
    rb"|X-Spam-[A-Za-z-]+|X-Virus-[A-Za-z-]+|X-Received|X-Google-DKIM-Signature|X-Gm-Message-State|X-MS-[A-Za-z-]+"
    rb"|X-Forefront-[A-Za-z-]+|X-Microsoft-[A-Za-z-]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)

KNOWN_LIMITS: Final = {
    2: "a sender that reuses a Message-ID for two campaigns makes one event of them",
    3: "a report of the same failure that carries the returned Message-ID would be another event",
    4: "the same failure reported in other words would be another event",
}


@dataclass(slots=True)
class Send:
    """The first tier that applies, and the words that name the send there."""

    tier: int
    source: str
    parts: tuple[str, ...]

    def event_id(self, recipient: str | None) -> str:
        return event_id(*self.parts, recipient or "")


def identify_send(raw: bytes, head: Headers, returned: Headers | None, envelope_id: str, reporting_mta: str) -> Send:
    if returned is not None and (name := message_id(returned.first("message-id"))):
        return Send(2, "the returned message's Message-ID", ("message-id", name))
    if envelope_id:
        return Send(2, "Original-Envelope-Id", ("envelope-id", envelope_id))
    for header in ("in-reply-to", "references"):
        if name := message_id(head.first(header)):
            return Send(2, "In-Reply-To or References", ("message-id", name))
    own = message_id(head.first("message-id"))
    if own:
        domain = reporting_mta or own.rpartition("@")[2].lower()
        return Send(3, "the reporting domain and this report's Message-ID", ("report", domain, own))
    return Send(4, "the message's hash without trace headers", ("content", content_hash(raw)))


def message_id(value: str) -> str:
    """The last id of a header value (References ends with the message that is answered), '' when there is none."""
    found = _MESSAGE_ID.findall(value[-4_096:])
    if found:
        return str(found[-1])
    bare = value.strip()
    return bare if "@" in bare and " " not in bare and len(bare) < 400 else ""


def content_hash(raw: bytes) -> str:
    canonical = canonical_bytes(raw[:READ_LIMIT_BYTES])
    end = canonical.find(b"\n\n")
    head, body = (canonical, b"") if end < 0 else (canonical[: end + 1], canonical[end + 1 :])
    return hashlib.sha256(_TRACE_HEADERS.sub(b"", head) + body).hexdigest()
