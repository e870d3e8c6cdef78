"""Raw bounces from other services, as an answer that nothing is lost: 202 is said once the broker has confirmed them."""

from typing import Any, Final

from apiflask import APIBlueprint, Schema
from flask import request
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api.door import problem, token
from services.console.backing import backing
from services.console.tokens import Scope, needs_scope
from shared.bus import Message
from shared.contract import JSON, RFC822, RawBounceJsonSchema
from shared.errors import Permanent
from shared.identity import cut, raw_id
from shared.wire import raw_bounce_message

blueprint = APIBlueprint("api_intake", __name__, tag="intake")

MOST: Final = 100


class WayInSchema(Schema):
    """Beside a mail that is the body."""

    list_id = fields.String(
        validate=validate.Length(1, 64), metadata={"description": "The contact list it belongs to."}
    )


class BatchSchema(Schema):
    """Several."""

    bounces = fields.List(fields.Nested(RawBounceJsonSchema), required=True, validate=validate.Length(1, MOST))


class TakenSchema(Schema):
    """It is on the queue."""

    raw_id = fields.String(
        required=True, metadata={"description": "SHA-256 of the mail; the same mail is counted once."}
    )


class AllTakenSchema(Schema):
    """They are, in the order given."""

    raw_ids = fields.List(fields.String(), required=True)


@blueprint.post("/bounces")
@blueprint.input(WayInSchema, location="query", arg_name="beside")
@blueprint.output(TakenSchema, status_code=202)
@needs_scope(Scope.INTAKE)
def take(beside: dict[str, Any]) -> ResponseReturnValue:
    """One raw bounce: the mail itself as message/rfc822, or JSON with the mail in base64. It belongs to no run.

    A mail beyond 512 KiB is cut, as it is everywhere. 503: nothing was taken; send it again.
    """
    if request.mimetype == RFC822:
        given: dict[str, Any] = {"raw": request.get_data(), **beside}
    elif request.mimetype == JSON:
        given = beside | RawBounceJsonSchema().load(request.get_json())
    else:
        return problem(415, f"A bounce is {RFC822} or {JSON}, not {request.mimetype or 'nothing'}.")
    return {"raw_id": _publish([given])[0]}, 202


@blueprint.post("/bounces/batch")
@blueprint.input(BatchSchema, arg_name="given")
@blueprint.output(AllTakenSchema, status_code=202)
@needs_scope(Scope.INTAKE)
def take_many(given: dict[str, Any]) -> ResponseReturnValue:
    """Up to 100 at once: all are taken, or the answer is an error."""
    return {"raw_ids": _publish(given["bounces"])}, 202


def _publish(bounces: list[dict[str, Any]]) -> list[str]:
    """Their ids. Raises Permanent for what is no mail, and Transient when the broker cannot take them."""
    messages, ids = [], []
    for given in bounces:
        if not given["raw"].strip():
            raise Permanent("the mail is empty")
        message, identity = _message(given)
        messages.append(message)
        ids.append(identity)
    backing().publisher.publish(messages)
    return ids


def _message(given: dict[str, Any]) -> tuple[Message, str]:
    raw, is_cut = cut(given["raw"])
    message = raw_bounce_message(
        raw,
        received_at=given.get("received_at"),
        list_id=given.get("list_id"),
        truncated=is_cut or given.get("truncated", False),
        source=given.get("source") or token().who,
    )
    return message, raw_id(raw)
