"""Runs: begin one, watch it, look at what it found, apply or drop it."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint, Schema
from flask import abort
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api import cursors
from services.console.api.door import problem, token
from services.console.api.schemas import AfterSchema, OptionalWhySchema, next_field
from services.console.backing import backing
from services.console.held_runs import apply_run, progress_of
from services.console.tokens import Scope, needs_scope
from services.fetcher.asking import ask
from services.scheduler.passes_sql import RunSeen, read_runs
from shared.tables.ledger import HOLD_STATES

blueprint = APIBlueprint("api_runs", __name__, tag="runs")


class BeginSchema(Schema):
    """How."""

    held = fields.Boolean(
        load_default=True, metadata={"description": "What it finds counts for nothing until it is applied."}
    )


class BegunSchema(Schema):
    """It is asked for."""

    run_id = fields.String(required=True)


class ProgressSchema(Schema):
    """Where it is."""

    run_id = fields.String(required=True)
    account = fields.String(required=True, allow_none=True)
    state = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(HOLD_STATES),
        metadata={"description": "Null for one that never was held."},
    )
    phase = fields.String(required=True)
    error = fields.String(required=True, allow_none=True)
    found = fields.Integer(required=True)
    judged = fields.Integer(required=True)
    hard = fields.Integer(required=True)
    soft = fields.Integer(required=True)
    unidentified = fields.Integer(required=True)
    ignored = fields.Integer(required=True)
    duplicate = fields.Integer(required=True)
    dead_lettered = fields.Integer(required=True)
    waiting = fields.Integer(required=True)
    unread = fields.Integer(required=True)


class RunSchema(Schema):
    """One of many."""

    run_id = fields.String(required=True)
    account = fields.String(required=True)
    started_at = fields.AwareDateTime(required=True)
    fetched_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True, attribute="last_error")
    state = fields.String(required=True, allow_none=True)


class RunsSchema(Schema):
    """A page of them."""

    runs = fields.List(fields.Nested(RunSchema), required=True)
    next = next_field()


class OutcomeSchema(Schema):
    """What one mail says of one recipient."""

    recipient = fields.String(required=True, metadata={"description": "Empty when nobody can tell which."})
    raw_id = fields.String(required=True)
    verdict = fields.String(required=True)
    action = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, allow_none=True)
    diagnostic_code = fields.String(required=True, allow_none=True)
    rule = fields.String(required=True)
    evidence = fields.String(required=True)


class OutcomesSchema(Schema):
    """A page of them, mail by mail."""

    outcomes = fields.List(fields.Nested(OutcomeSchema), required=True)
    next = next_field()


@blueprint.post("/lists/<list_id>/runs")
@blueprint.input(BeginSchema, arg_name="asked")
@blueprint.output(BegunSchema, status_code=202)
@needs_scope(Scope.RUNS)
def begin(list_id: str, asked: dict[str, Any]) -> ResponseReturnValue:
    """Ask the fetchers to read the bounce account of a list now."""
    one = backing().lists.find_list(list_id)
    if one.account is None:
        return problem(422, f"The list {list_id!r} has no bounce account yet.")
    holds = backing().runs if asked["held"] else None
    return {"run_id": ask(backing().publisher, one.account, holds, token().who)}, 202


@blueprint.get("/runs")
@blueprint.input(AfterSchema, location="query", arg_name="page")
@blueprint.output(RunsSchema)
@needs_scope(Scope.RUNS)
def view(page: dict[str, Any]) -> ResponseReturnValue:
    """All, the newest first."""
    found = read_runs(backing().engine, cursors.read_moment(page["after"]), page["limit"] + 1)
    rows, following = cursors.cut(found, page["limit"], _key)
    return {"runs": rows, "next": following}


@blueprint.get("/runs/<run_id>")
@blueprint.output(ProgressSchema)
@needs_scope(Scope.RUNS)
def show(run_id: str) -> ResponseReturnValue:
    """Where it is, and what it found so far."""
    return _progress(run_id)


@blueprint.get("/runs/<run_id>/outcomes")
@blueprint.input(AfterSchema, location="query", arg_name="page")
@blueprint.output(OutcomesSchema)
@needs_scope(Scope.RUNS)
def outcomes(run_id: str, page: dict[str, Any]) -> ResponseReturnValue:
    """What it found, address by address, with the evidence."""
    _progress(run_id)
    found = backing().runs.said_page(run_id, cursors.read(page["after"], 2), page["limit"] + 1)
    rows, following = cursors.cut(found, page["limit"], lambda one: (one.raw_id, one.recipient))
    return {"outcomes": rows, "next": following}


@blueprint.post("/runs/<run_id>/apply")
@blueprint.input(OptionalWhySchema, arg_name="said")
@blueprint.output(ProgressSchema)
@needs_scope(Scope.RUNS)
def apply(run_id: str, said: dict[str, Any]) -> ResponseReturnValue:
    """Let a held run count; its mailbox is then cleaned as the account says."""
    _progress(run_id)
    apply_run(run_id, token().who, said["why"])
    return _progress(run_id)


@blueprint.post("/runs/<run_id>/drop")
@blueprint.input(OptionalWhySchema, arg_name="said")
@blueprint.output(ProgressSchema)
@needs_scope(Scope.RUNS)
def drop(run_id: str, said: dict[str, Any]) -> ResponseReturnValue:
    """Never let a held run count; its mails stay in the mailbox."""
    _progress(run_id)
    backing().runs.drop(run_id, token().who, said["why"])
    return _progress(run_id)


def _progress(run_id: str) -> dict[str, Any]:
    found = progress_of(run_id)
    if found is None:
        abort(404)
    return found


def _key(one: RunSeen) -> tuple[str, str]:
    moment: datetime = one.started_at
    return moment.isoformat(), one.run_id
