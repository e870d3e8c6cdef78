"""Dead letters: what could not be handled."""

import base64
import json
from typing import Any, Final

from apiflask import APIBlueprint, Schema
from flask import abort
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api import cursors
from services.console.api.door import token
from services.console.api.schemas import AfterSchema, WhySchema, next_field
from services.console.backing import backing
from services.console.tokens import Scope, needs_scope
from services.ledger.dead_letters_sql import DEAD, STAGES, STATES, Choice, FiledLetter

blueprint = APIBlueprint("api_dead_letters", __name__, tag="dead letters")

_MOST: Final = 1000


class ChoiceSchema(AfterSchema):
    """Which of them."""

    stage = fields.String(validate=validate.OneOf(STAGES))
    reason = fields.String(validate=validate.Length(1, 200), metadata={"description": "A part of it."})
    state = fields.String(load_default=DEAD, validate=validate.OneOf(STATES))


class LetterSchema(Schema):
    """One of many."""

    letter_id = fields.String(required=True)
    queue = fields.String(required=True)
    reason = fields.String(required=True)
    attempts = fields.Integer(required=True)
    first_failed_at = fields.AwareDateTime(required=True)
    last_failed_at = fields.AwareDateTime(required=True)
    raw_id = fields.String(required=True, allow_none=True)
    run_id = fields.String(required=True, allow_none=True)


class LettersSchema(Schema):
    """A page of them."""

    letters = fields.List(fields.Nested(LetterSchema), required=True)
    next = next_field()


class WholeLetterSchema(LetterSchema):
    """With what it holds."""

    state = fields.String(required=True)
    content_type = fields.String(required=True)
    headers = fields.Dict(required=True)
    body = fields.String(required=True, metadata={"description": "In base64."})


class IdsSchema(Schema):
    """Which."""

    letter_ids = fields.List(
        fields.String(validate=validate.Length(1, 64)), required=True, validate=validate.Length(1, _MOST)
    )


class DiscardSchema(IdsSchema, WhySchema):
    """Which, and why."""


class CountSchema(Schema):
    """How many."""

    done = fields.Integer(required=True, metadata={"description": "Those that were not dead, or are unknown, are not."})


@blueprint.get("/dead-letters")
@blueprint.input(ChoiceSchema, location="query", arg_name="asked")
@blueprint.output(LettersSchema)
@needs_scope(Scope.DEAD_LETTERS)
def view(asked: dict[str, Any]) -> ResponseReturnValue:
    """The latest failure first."""
    choice = Choice(stage=asked.get("stage"), reason=asked.get("reason"), state=asked["state"])
    found = backing().dead_letters.page(choice, cursors.read_moment(asked["after"]), asked["limit"] + 1)
    rows, following = cursors.cut(
        found, asked["limit"], lambda one: (one.letter.failed_at.isoformat(), one.letter.letter_id)
    )
    return {"letters": [_told(one) for one in rows], "next": following}


@blueprint.get("/dead-letters/<letter_id>")
@blueprint.output(WholeLetterSchema)
@needs_scope(Scope.DEAD_LETTERS)
def show(letter_id: str) -> ResponseReturnValue:
    """One in full."""
    found = backing().dead_letters.find(letter_id)
    if found is None:
        abort(404)
    filed, state = found
    letter = filed.letter
    return _told(filed) | {
        "state": state,
        "content_type": letter.content_type,
        "headers": json.loads(letter.headers),
        "body": base64.b64encode(letter.body).decode(),
    }


@blueprint.post("/dead-letters/replay")
@blueprint.input(IdsSchema, arg_name="asked")
@blueprint.output(CountSchema)
@needs_scope(Scope.DEAD_LETTERS)
def replay(asked: dict[str, Any]) -> ResponseReturnValue:
    """Back to the queues that they came from. What dies again is listed again, with its count."""
    letters = backing().dead_letters
    found = (letters.find(letter_id) for letter_id in dict.fromkeys(asked["letter_ids"]))
    chosen = [one[0] for one in found if one is not None and one[1] == DEAD]
    return {"done": letters.replay_these(chosen, backing().publisher, token().who)}


@blueprint.post("/dead-letters/discard")
@blueprint.input(DiscardSchema, arg_name="asked")
@blueprint.output(CountSchema)
@needs_scope(Scope.DEAD_LETTERS)
def discard(asked: dict[str, Any]) -> ResponseReturnValue:
    """Put aside for good."""
    return {"done": backing().dead_letters.discard(asked["letter_ids"], token().who, asked["why"])}


def _told(filed: FiledLetter) -> dict[str, Any]:
    letter = filed.letter
    return {
        "letter_id": letter.letter_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "attempts": filed.attempts,
        "first_failed_at": filed.first_failed_at,
        "last_failed_at": letter.failed_at,
        "raw_id": letter.raw_id,
        "run_id": letter.run_id,
    }
