"""From the contract's dictionaries to messages on the bus, and back. JSON and bytes, nothing else."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

import orjson
from marshmallow import Schema, ValidationError

from shared.bus import UNREADABLE_HEADER, HeaderValue, Message
from shared.contract import (
    BODY_LIMIT_BYTES,
    JSON,
    RFC822,
    AddressEvent,
    AddressEventSchema,
    FetchRequest,
    FetchRequestSchema,
    RawBounceHeaders,
    RawBounceHeadersSchema,
    RawBounceJson,
    RawBounceJsonSchema,
    VerdictMessage,
    VerdictSchema,
)
from shared.contract.quick import Quick
from shared.errors import Permanent
from shared.topology import EXCHANGE, FETCH, RAW, RELEASED, SUPPRESSED, VERDICT

RAW_BOUNCE_TYPE: Final = "mailroom.raw-bounce"
VERDICT_TYPE: Final = "mailroom.verdict"
FETCH_REQUEST_TYPE: Final = "mailroom.fetch-request"
ADDRESS_EVENT_TYPE: Final = "mailroom.address-event"

_HEADERS = RawBounceHeadersSchema()
_RAW_JSON = RawBounceJsonSchema()
_VERDICT = VerdictSchema()
_FETCH_REQUEST = FetchRequestSchema()
_ADDRESS_EVENT = AddressEventSchema()
_QUICK: Final[dict[Schema, Quick]] = {
    schema: Quick(schema) for schema in (_HEADERS, _VERDICT, _FETCH_REQUEST, _ADDRESS_EVENT)
}


def raw_bounce_message(
    raw: bytes,
    *,
    received_at: datetime | None = None,
    list_id: str | None = None,
    run_id: str | None = None,
    account: str | None = None,
    truncated: bool = False,
    source: str | None = None,
) -> Message:
    """A mail, ready to publish. Raises Permanent when a header breaks the contract."""
    given = {
        "schema_version": 1,
        "list_id": list_id,
        "run_id": run_id,
        "account": account,
        "received_at": received_at.isoformat() if received_at else None,
        "truncated": truncated,
        "source": source,
    }
    headers = cast(dict[str, HeaderValue], {name: value for name, value in given.items() if value is not None})
    _load(_HEADERS, headers, "raw bounce")
    return Message(EXCHANGE, RAW, raw, RFC822, RAW_BOUNCE_TYPE, headers)


def read_raw_bounce(message: Message) -> RawBounceJson:
    """The mail and what came with it. Raises Permanent with a readable reason for whatever is not in the contract."""
    _check_type(message, RAW_BOUNCE_TYPE, "raw bounce")
    if not message.body:
        raise Permanent("the body is empty; a raw bounce is the mail itself")
    content_type = message.content_type.split(";")[0].strip().lower()
    if content_type == RFC822:
        headers = {name: value for name, value in message.headers.items() if name in _HEADERS.fields}
        bounce = cast(
            RawBounceJson, {**cast(RawBounceHeaders, _load(_HEADERS, headers, "raw bounce")), "raw": message.body}
        )
    elif content_type == JSON:
        # base64 is a third longer than what it carries, and the fields need room
        if len(message.body) > BODY_LIMIT_BYTES * 3 // 2 + 65536:
            raise Permanent(
                f"the JSON has {len(message.body)} bytes; a mail on the wire has at most {BODY_LIMIT_BYTES}"
            )
        bounce = cast(RawBounceJson, _load(_RAW_JSON, _from_json(message.body), "raw bounce"))
    else:
        raise Permanent(f"content type is {message.content_type!r}; a raw bounce is {RFC822} or {JSON}")
    if not bounce["raw"]:
        raise Permanent("the mail is empty")
    if len(bounce["raw"]) > BODY_LIMIT_BYTES:
        raise Permanent(
            f"the mail has {len(bounce['raw'])} bytes; on the wire at most {BODY_LIMIT_BYTES}: cut it and set truncated"
        )
    return bounce


def verdict_message(verdict: VerdictMessage) -> Message:
    """A verdict, ready to publish."""
    return Message(EXCHANGE, VERDICT, _dump(_VERDICT, verdict, "verdict"), JSON, VERDICT_TYPE)


def read_verdict(message: Message) -> VerdictMessage:
    """Raises Permanent with a readable reason for whatever is not in the contract."""
    return cast(VerdictMessage, _read(_VERDICT, message, VERDICT_TYPE, "verdict"))


def fetch_request_message(request: FetchRequest) -> Message:
    """A request to fetch one slice of an account's mails."""
    return Message(EXCHANGE, FETCH, _dump(_FETCH_REQUEST, request, "fetch request"), JSON, FETCH_REQUEST_TYPE)


def read_fetch_request(message: Message) -> FetchRequest:
    """Raises Permanent with a readable reason for whatever is not in the contract."""
    return cast(FetchRequest, _read(_FETCH_REQUEST, message, FETCH_REQUEST_TYPE, "fetch request"))


def address_event_message(event: AddressEvent, *, is_suppressed: bool) -> Message:
    """Word that an address may no longer, or may again, be mailed. Nobody needs to listen."""
    key = SUPPRESSED if is_suppressed else RELEASED
    return Message(EXCHANGE, key, _dump(_ADDRESS_EVENT, event, "event"), JSON, ADDRESS_EVENT_TYPE, mandatory=False)


def read_address_event(message: Message) -> AddressEvent:
    """Raises Permanent with a readable reason for whatever is not in the contract."""
    return cast(AddressEvent, _read(_ADDRESS_EVENT, message, ADDRESS_EVENT_TYPE, "event"))


def _read(schema: Schema, message: Message, expected_type: str, what: str) -> Any:
    _check_type(message, expected_type, what)
    if message.content_type.split(";")[0].strip().lower() != JSON:
        raise Permanent(f"content type is {message.content_type!r}; a {what} is {JSON}")
    return _load(schema, _from_json(message.body), what)


def _check_type(message: Message, expected_type: str, what: str) -> None:
    if cause := message.headers.get(UNREADABLE_HEADER):
        raise Permanent(f"the AMQP properties cannot be decoded: {cause}")
    if message.type not in ("", expected_type):
        raise Permanent(f"type is {message.type!r}; a {what} has type {expected_type!r}")


def _from_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Permanent(f"the body is not JSON: {exc}") from exc


def _dump(schema: Schema, value: Mapping[str, Any], what: str) -> bytes:
    if (written := _QUICK[schema].dump(value)) is not None:
        return orjson.dumps(written)
    dumped = schema.dump(value)
    if errors := schema.validate(dumped):
        raise Permanent(f"the {what} breaks the contract: {_flatten(errors)}")
    return orjson.dumps(dumped)


def _load(schema: Schema, value: Any, what: str) -> Any:
    if not isinstance(value, dict):
        raise Permanent(f"the {what} is not a JSON object")
    quick = _QUICK.get(schema)
    if quick is not None and (read := quick.load(value)) is not None:
        return read
    try:
        return schema.load(value)
    except ValidationError as exc:
        raise Permanent(f"the {what} breaks the contract: {_flatten(exc.messages)}") from exc


def _flatten(errors: Any, path: str = "") -> str:
    """marshmallow's nested messages as one line: `outcomes.0.verdict: Must be one of …`."""
    if isinstance(errors, dict):
        return "; ".join(_flatten(value, f"{path}.{key}" if path else str(key)) for key, value in errors.items())
    if isinstance(errors, list):
        return f"{path}: {' '.join(str(error) for error in errors)}"
    return f"{path}: {errors}"
