"""May these addresses be mailed?"""

from typing import Any

import orjson
from apiflask import APIBlueprint, Schema
from flask import Response
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api.schemas import Addresses
from services.console.backing import backing
from services.console.tokens import Scope, needs_scope
from services.ledger.looking_sql import UNKNOWN
from services.ledger.policy import State
from shared.addresses import normalise_address, normalise_addresses
from shared.errors import InvalidAddress

blueprint = APIBlueprint("api_check", __name__, tag="check")


class CheckSchema(Schema):
    """Up to a thousand."""

    addresses = Addresses(required=True, metadata={"description": "Up to 1,000, in any spelling."})
    details = fields.Boolean(load_default=False, metadata={"description": "Say why and since when, too."})


class AnswerSchema(Schema):
    """Of one address."""

    address = fields.String(required=True, metadata={"description": "As it was given."})
    suppressed = fields.Boolean(required=True, metadata={"description": "It must not be mailed."})
    state = fields.String(validate=validate.OneOf([state.value for state in State]))
    reason = fields.String(allow_none=True)
    since = fields.AwareDateTime(allow_none=True)
    soft = fields.Integer(metadata={"description": "Soft bounces that count."})


class RefusedSchema(Schema):
    """What is no address."""

    address = fields.String(required=True)
    error = fields.String(required=True)


class AnswersSchema(Schema):
    """Every address is in one of both."""

    answers = fields.List(fields.Nested(AnswerSchema), required=True)
    invalid = fields.List(fields.Nested(RefusedSchema), required=True)


@blueprint.post("/check")
@blueprint.input(CheckSchema, arg_name="asked")
@blueprint.output(AnswersSchema)
@needs_scope(Scope.CHECK)
def check(asked: dict[str, Any]) -> ResponseReturnValue:
    """May these addresses be mailed?

    What is no address is told apart, and is never said to be clean. 503 when nobody can tell: hold the mail then.
    """
    given, invalid = _sort(asked["addresses"])
    suppressed = backing().suppressions.are_suppressed([normalised for _, normalised in given])
    answers: list[dict[str, Any]] = [
        {"address": text, "suppressed": answer} for (text, _), answer in zip(given, suppressed, strict=True)
    ]
    if asked["details"]:
        known = backing().looking.standings([normalised for _, normalised in given])
        for answer, (_, normalised) in zip(answers, given, strict=True):
            answer |= known.get(normalised, UNKNOWN)
    return Response(orjson.dumps({"answers": answers, "invalid": invalid}), mimetype="application/json")


def _sort(addresses: list[str]) -> tuple[list[tuple[str, str]], list[dict[str, str]]]:
    """Those that are addresses with their normal form, and what is wrong with the others."""
    try:
        return list(zip(addresses, normalise_addresses(addresses), strict=True)), []
    except InvalidAddress:  # then each by itself
        pass
    given, invalid = [], []
    for text in addresses:
        try:
            given.append((text, normalise_address(text)))
        except InvalidAddress as exc:
            invalid.append({"address": text, "error": str(exc)})
    return given, invalid
