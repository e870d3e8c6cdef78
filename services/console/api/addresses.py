"""What is known of an address, and the word of a program on it."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint, Schema
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api.door import token
from services.console.api.schemas import Addresses, WhySchema
from services.console.backing import backing
from services.console.tokens import Scope, needs_scope
from services.ledger.marking import Done
from shared.addresses import normalise_address

blueprint = APIBlueprint("api_addresses", __name__, tag="addresses")


class MarkSchema(WhySchema):
    """Which, and why."""

    addresses = Addresses(required=True)


class MarkedSchema(Schema):
    """What became of one."""

    address = fields.String(required=True, metadata={"description": "Its normal form."})
    before = fields.String(required=True)
    after = fields.String(required=True)


class DoneSchema(Schema):
    """What was recorded."""

    marked = fields.List(fields.Nested(MarkedSchema), required=True)
    is_told = fields.Boolean(
        required=True, metadata={"description": "Senders who ask Redis hear of it already; else within seconds."}
    )


class AskSchema(Schema):
    """Whose history."""

    address = fields.String(required=True, validate=validate.Length(1, 1000))
    newest = fields.Integer(
        load_default=100, validate=validate.Range(1, 1000), metadata={"description": "So many entries of each kind."}
    )


class HistorySchema(Schema):
    """Everything, the earliest first."""

    address = fields.String(required=True)
    is_known = fields.Boolean(required=True)
    state = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    since = fields.AwareDateTime(required=True, allow_none=True)
    soft = fields.Integer(required=True)
    soft_limit = fields.Integer(required=True)
    events_total = fields.Integer(required=True)
    entries = fields.List(fields.Dict(), required=True)


@blueprint.post("/suppress")
@blueprint.input(MarkSchema, arg_name="asked")
@blueprint.output(DoneSchema)
@needs_scope(Scope.SUPPRESS)
def suppress(asked: dict[str, Any]) -> ResponseReturnValue:
    """Never mail these addresses again, until they are released."""
    return _told(backing().marking.suppress(asked["addresses"], asked["why"], token().who))


@blueprint.post("/release")
@blueprint.input(MarkSchema, arg_name="asked")
@blueprint.output(DoneSchema)
@needs_scope(Scope.SUPPRESS)
def release(asked: dict[str, Any]) -> ResponseReturnValue:
    """Let these addresses be mailed again. What was reported until now never counts again."""
    return _told(backing().marking.release(asked["addresses"], asked["why"], token().who))


@blueprint.get("/history")
@blueprint.input(AskSchema, location="query", arg_name="asked")
@blueprint.output(HistorySchema)
@needs_scope(Scope.HISTORY)
def history(asked: dict[str, Any]) -> ResponseReturnValue:
    """Every event of an address with its evidence, and who changed what."""
    found = backing().history.read(normalise_address(asked["address"]), asked["newest"])
    standing = found.standing
    return {
        "address": found.recipient,
        "is_known": found.is_known,
        "state": standing.state,
        "reason": standing.reason,
        "since": standing.since,
        "soft": standing.soft,
        "soft_limit": found.soft_limit,
        "events_total": found.events_total,
        "entries": [asdict(entry) for entry in found.entries],
    }


def _told(done: Done) -> dict[str, Any]:
    marked = [{"address": one.recipient, "before": one.before.state, "after": one.after.state} for one in done.marked]
    return {"marked": marked, "is_told": done.is_told}
