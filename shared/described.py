"""The contract for others, made from its schemas: JSON Schema (2020-12) of each message, and one AsyncAPI 3.0 document."""

from collections.abc import Mapping
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from shared.contract import (
    BODY_LIMIT_BYTES,
    JSON,
    RFC822,
    AddressEventSchema,
    FetchRequestSchema,
    RawBounceHeadersSchema,
    RawBounceJsonSchema,
    VerdictSchema,
)
from shared.topology import DEAD_EXCHANGE, EXCHANGE, EXCHANGES, FETCH, QUEUES, RAW, RELEASED, SUPPRESSED, VERDICT
from shared.wire import ADDRESS_EVENT_TYPE, FETCH_REQUEST_TYPE, RAW_BOUNCE_TYPE, VERDICT_TYPE

SCHEMAS: Final[Mapping[str, type[Schema]]] = {
    "raw-bounce-headers.v1": RawBounceHeadersSchema,
    "raw-bounce.v1": RawBounceJsonSchema,
    "verdict.v1": VerdictSchema,
    "fetch-request.v1": FetchRequestSchema,
    "address-event.v1": AddressEventSchema,
}
"""By file name."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(name: str) -> dict[str, Any]:
    """One of SCHEMAS as a JSON Schema of its own. What is unknown is allowed: a publisher may be newer than its reader."""
    return {"$schema": _DIALECT, "title": name, **_described(SCHEMAS[name]())}


def _described(schema: Schema) -> dict[str, Any]:
    """The converter does not know base64, nor what is nested, nor that Python's \\A and \\Z are ^ and $ elsewhere."""
    plugin = MarshmallowPlugin(schema_name_resolver=lambda _schema: "")
    APISpec("", "", "3.1.0", plugins=[plugin])
    assert plugin.converter is not None
    described: dict[str, Any] = dict(plugin.converter.schema2jsonschema(schema))  # type: ignore[no-untyped-call]
    if schema.__doc__:
        described["description"] = schema.__doc__
    for name, field in schema.fields.items():
        told = described["properties"][name] = dict(described["properties"][name])
        if isinstance(pattern := told.get("pattern"), str):
            told["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
        if isinstance(told.get("enum"), list) and field.allow_none and None not in told["enum"]:
            told["enum"] = [*told["enum"], None]
        if name == "raw":
            told |= {"contentEncoding": "base64", "contentMediaType": RFC822}
        if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            told["items"] = _described(field.inner.schema)
    return described


def asyncapi(version: str) -> dict[str, Any]:
    """The whole contract; `version` is the one of the product."""
    headers = _described(RawBounceHeadersSchema())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Mailroom bounces",
            "version": version,
            "description": "Raw bounces in, verdicts and address events out. Unknown fields are ignored; times are RFC 3339 "
            "with an offset. Publish with `mandatory` and confirms. What breaks the contract is dead-lettered with its reason.",
        },
        "channels": {
            RAW: _channel(RAW, "rawBounce", "rawBounceJson"),
            VERDICT: _channel(VERDICT, "verdict"),
            FETCH: _channel(FETCH, "fetchRequest"),
            SUPPRESSED: _channel(SUPPRESSED, "addressEvent"),
            RELEASED: _channel(RELEASED, "addressEvent"),
        },
        "operations": {
            "takeRawBounces": _operation("receive", RAW, "A mail that came back, from any publisher"),
            "tellVerdicts": _operation("send", VERDICT, "One for one raw bounce, by the classifier"),
            "takeVerdicts": _operation("receive", VERDICT, "Counted by the ledger"),
            "takeFetchRequests": _operation("receive", FETCH, "A slice of a bounce account, for the fetcher"),
            "tellSuppressed": _operation("send", SUPPRESSED, "An address may not be mailed any more"),
            "tellReleased": _operation("send", RELEASED, "An address may be mailed again"),
        },
        "components": {
            "messages": {
                "rawBounce": {
                    "name": RAW_BOUNCE_TYPE,
                    "title": "A raw bounce as the mail itself",
                    "contentType": RFC822,
                    "headers": headers,
                    "payload": {
                        "type": "string",
                        "format": "binary",
                        "description": f"The message as it was received (RFC 5322), at most {BODY_LIMIT_BYTES} bytes",
                    },
                },
                "rawBounceJson": _message(RAW_BOUNCE_TYPE, "A raw bounce as JSON", "raw-bounce.v1"),
                "verdict": _message(VERDICT_TYPE, "What became of each recipient of a mail", "verdict.v1"),
                "fetchRequest": _message(FETCH_REQUEST_TYPE, "Read this bounce account", "fetch-request.v1"),
                "addressEvent": _message(ADDRESS_EVENT_TYPE, "An address changed sides", "address-event.v1"),
            },
        },
        "x-queues": {
            queue.name: {
                "exchange": queue.exchange,
                "routingKey": queue.routing_key,
                "maxLengthBytes": queue.max_length_bytes,
            }
            for queue in QUEUES
        },
        "x-dead-letter-exchange": DEAD_EXCHANGE,
    }


def _channel(routing_key: str, *messages: str) -> dict[str, Any]:
    return {
        "address": routing_key,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": dict(EXCHANGES)[EXCHANGE], "durable": True, "autoDelete": False},
            }
        },
    }


def _operation(action: str, routing_key: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{routing_key}"},
        "summary": summary,
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": routing_key not in (SUPPRESSED, RELEASED)}},
    }


def _message(kind: str, title: str, schema: str) -> dict[str, Any]:
    return {"name": kind, "title": title, "contentType": JSON, "payload": _described(SCHEMAS[schema]())}
