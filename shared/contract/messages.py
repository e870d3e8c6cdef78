"""The four messages of version 1, as marshmallow schemas and as the dictionaries that they give.

Unknown fields are dropped on receipt, so that a publisher may be newer than its reader. Times are RFC 3339 with an offset.
"""

import base64
import binascii
from datetime import datetime
from typing import Any, ClassVar, Final, TypedDict

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from .vocabulary import Fault, Kind, MessageVerdict, Verdict

VERSION: Final = 1
RFC822: Final = "message/rfc822"
JSON: Final = "application/json"
BODY_LIMIT_BYTES: Final = 1024 * 1024
"""The largest decoded mail that is accepted on the wire."""

_HEX_ID = validate.Regexp(r"\A[0-9a-f]{64}\Z", error="must be 64 hexadecimal digits")
_SHORT = validate.Length(max=255)
_SLUG = validate.Regexp(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", error="must be a slug of at most 64 characters")
_REASON = validate.Regexp(
    r"\A(?=.{1,64}\Z)[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z", error="must be kebab case, at most 64 characters"
)


class RawBounceHeaders(TypedDict):
    """What may come with a mail as AMQP headers; all of it optional for the publisher."""

    schema_version: int
    list_id: str | None
    run_id: str | None
    account: str | None
    received_at: datetime | None
    truncated: bool
    source: str | None


class RawBounceJson(RawBounceHeaders):
    """The same with the mail in it."""

    raw: bytes


class Outcome(TypedDict):
    """What became of the mail to one recipient; `recipient` is the address that was mailed, None when nobody can tell."""

    event_id: str
    tier: int
    recipient: str | None
    final_recipient: str | None
    verdict: str
    reason: str | None
    fault: str | None
    action: str | None
    status: str | None
    reply_code: str | None
    diagnostic_code: str | None
    remote_mta: str | None
    rule: str
    evidence: str


class VerdictMessage(TypedDict):
    """One for one raw bounce."""

    schema_version: int
    raw_id: str
    publisher_id: str | None
    list_id: str | None
    run_id: str | None
    account: str | None
    kind: str
    verdict: str
    received_at: datetime
    truncated: bool
    reporting_mta: str | None
    campaign: str | None
    classifier_version: int
    judged_at: datetime
    outcomes: list[Outcome]


class FetchRequest(TypedDict):
    """A slice of work on one bounce account. Never a credential."""

    schema_version: int
    account: str
    run_id: str
    requested_at: datetime


class AddressEvent(TypedDict):
    """An address was suppressed or released; the greater (epoch, version) is the later word."""

    schema_version: int
    recipient: str
    state: str
    reason: str | None
    since: datetime | None
    epoch: int
    version: int


class _Message(Schema):
    """The base of every schema, nested ones too: marshmallow does not hand `unknown` down."""

    class Meta:
        unknown: ClassVar[str] = EXCLUDE


class _Base64(fields.String):
    """Bytes, as base64 in JSON."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise ValidationError(f"is not base64: {exc}") from exc

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return base64.b64encode(value).decode("ascii")


def _version() -> fields.Integer:
    return fields.Integer(load_default=VERSION, dump_default=VERSION, validate=validate.Equal(VERSION))


def _text(limit: int = 255) -> fields.String:
    return fields.String(load_default=None, allow_none=True, validate=validate.Length(max=limit))


class RawBounceHeadersSchema(_Message):
    """Headers of a raw bounce of type mailroom.raw-bounce whose body is message/rfc822."""

    schema_version = _version()
    list_id = fields.String(load_default=None, allow_none=True, validate=_SLUG)
    run_id = _text(64)
    account = _text()
    received_at = fields.AwareDateTime(load_default=None, allow_none=True, format="iso")
    truncated = fields.Boolean(load_default=False)
    source = _text()


class RawBounceJsonSchema(RawBounceHeadersSchema):
    """A raw bounce as application/json."""

    raw = _Base64(required=True)


class OutcomeSchema(_Message):
    """One recipient of a verdict."""

    event_id = fields.String(required=True, validate=_HEX_ID)
    tier = fields.Integer(required=True, validate=validate.Range(1, 4))
    recipient = fields.String(required=True, allow_none=True, validate=validate.Length(max=320))
    final_recipient = _text(1024)
    verdict = fields.String(required=True, validate=validate.OneOf([v.value for v in Verdict]))
    reason = fields.String(load_default=None, allow_none=True, validate=_REASON)
    fault = fields.String(load_default=None, allow_none=True, validate=validate.OneOf([f.value for f in Fault]))
    action = _text(64)
    status = _text(16)
    reply_code = _text(3)
    diagnostic_code = _text(2048)
    remote_mta = _text()
    rule = fields.String(required=True, validate=_SHORT)
    evidence = fields.String(load_default="", validate=validate.Length(max=2048))


class VerdictSchema(_Message):
    """A message of type mailroom.verdict."""

    schema_version = _version()
    raw_id = fields.String(required=True, validate=_HEX_ID)
    publisher_id = _text()
    list_id = fields.String(load_default=None, allow_none=True, validate=_SLUG)
    run_id = _text(64)
    account = _text()
    kind = fields.String(required=True, validate=validate.OneOf([k.value for k in Kind]))
    verdict = fields.String(required=True, validate=validate.OneOf([v.value for v in MessageVerdict]))
    received_at = fields.AwareDateTime(required=True, format="iso")
    truncated = fields.Boolean(load_default=False)
    reporting_mta = _text()
    campaign = _text()
    classifier_version = fields.Integer(required=True, validate=validate.Range(1, 2**31 - 1))
    judged_at = fields.AwareDateTime(required=True, format="iso")
    outcomes = fields.List(fields.Nested(OutcomeSchema), required=True, validate=validate.Length(max=1000))


class FetchRequestSchema(_Message):
    """A message of type mailroom.fetch-request."""

    schema_version = _version()
    account = fields.String(required=True, validate=validate.Length(min=1, max=255))
    run_id = fields.String(required=True, validate=validate.Length(min=1, max=64))
    requested_at = fields.AwareDateTime(required=True, format="iso")


class AddressEventSchema(_Message):
    """A message of type mailroom.address-event, on address.suppressed and address.released."""

    schema_version = _version()
    recipient = fields.String(required=True, validate=validate.Length(max=320))
    state = fields.String(required=True, validate=validate.Length(max=32))
    reason = _text(64)
    since = fields.AwareDateTime(load_default=None, allow_none=True, format="iso")
    epoch = fields.Integer(required=True)
    version = fields.Integer(required=True)
