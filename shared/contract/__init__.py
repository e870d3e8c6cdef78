"""The messages that cross the broker: their schemas, their words, and a golden example of each version.

Needs only the standard library and marshmallow, and imports itself relatively, so it can be vendored under any name.
"""

from .messages import (
    BODY_LIMIT_BYTES,
    JSON,
    RFC822,
    AddressEvent,
    AddressEventSchema,
    FetchRequest,
    FetchRequestSchema,
    Outcome,
    RawBounceHeaders,
    RawBounceHeadersSchema,
    RawBounceJson,
    RawBounceJsonSchema,
    VerdictMessage,
    VerdictSchema,
)
from .vocabulary import Fault, Kind, MessageVerdict, Verdict, message_verdict

__all__ = [
    "BODY_LIMIT_BYTES",
    "JSON",
    "RFC822",
    "AddressEvent",
    "AddressEventSchema",
    "Fault",
    "FetchRequest",
    "FetchRequestSchema",
    "Kind",
    "MessageVerdict",
    "Outcome",
    "RawBounceHeaders",
    "RawBounceHeadersSchema",
    "RawBounceJson",
    "RawBounceJsonSchema",
    "Verdict",
    "VerdictMessage",
    "VerdictSchema",
    "message_verdict",
]
