"""Contact lists and their bounce accounts. A password goes in, and never comes out."""

from typing import Any, Final

from apiflask import APIBlueprint, Schema
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from services.console.api import cursors
from services.console.api.door import token
from services.console.api.schemas import AfterSchema, next_field
from services.console.backing import backing
from services.console.tokens import Scope, needs_scope
from services.console.trials import TypedPassword, settling
from services.fetcher.as_json import list_as_json, trial_as_json
from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.keeping import Keeping
from services.fetcher.lists import ContactList
from services.fetcher.lists_sql import UnknownList
from services.fetcher.settling import Wanted

blueprint = APIBlueprint("api_lists", __name__, tag="lists")

_LONGEST_MINUTES: Final = 31 * 24 * 60
_AUTO: Final = "auto"


class GivenAccountSchema(Schema):
    """Bounce Account Details; what is not given stays, or is the usual."""

    server = fields.String(validate=validate.Length(1, 300), metadata={"description": "host or host:port"})
    user = fields.String(validate=validate.Length(1, 320))
    password = fields.String(load_only=True, validate=validate.Length(1, 1000))
    type = fields.Enum(Protocol, by_value=True)
    tls = fields.String(validate=validate.OneOf([_AUTO, *(one.value for one in Tls)]))
    ca_pem = fields.String(validate=validate.Length(max=1_000_000))
    folder = fields.String(validate=validate.Length(max=255))
    empty = fields.String(
        validate=validate.Length(1, 300), metadata={"description": "bounces, all, nothing or move:FOLDER"}
    )
    every_minutes = fields.Integer(validate=validate.Range(0, _LONGEST_MINUTES))
    is_active = fields.Boolean()


class ChangeSchema(Schema):
    """What is not given stays."""

    title = fields.String(validate=validate.Length(max=255))
    bounce_email = fields.String(validate=validate.Length(1, 320))
    account = fields.Nested(GivenAccountSchema)


class NewListSchema(ChangeSchema):
    """A list, with its bounce account or without."""

    list_id = fields.String(required=True, validate=validate.Length(1, 64))
    bounce_email = fields.String(required=True, validate=validate.Length(1, 320))


class AccountSchema(Schema):
    """As it is stored."""

    name = fields.String(required=True)
    lists = fields.List(fields.String(), required=True, metadata={"description": "Those that share it."})
    server = fields.String(required=True)
    port = fields.Integer(required=True)
    user = fields.String(required=True)
    has_password = fields.Boolean(required=True)
    login = fields.String(required=True)
    type = fields.String(required=True)
    tls = fields.String(required=True)
    has_own_ca = fields.Boolean(required=True)
    folder = fields.String(required=True)
    empty = fields.String(required=True)
    every_minutes = fields.Float(required=True)
    is_active = fields.Boolean(required=True)


class ListSchema(Schema):
    """A contact list."""

    list_id = fields.String(required=True)
    title = fields.String(required=True)
    bounce_email = fields.String(required=True)
    account = fields.Nested(AccountSchema, required=True, allow_none=True)


class OneListSchema(ListSchema):
    """An answer of its own: apispec takes a schema as an answer or as a part of one, not as both."""


class ListsSchema(Schema):
    """A page of them, by name."""

    lists = fields.List(fields.Nested(ListSchema), required=True)
    next = next_field()


class TrialSchema(Schema):
    """What came of [Test Bounce Settings]."""

    name = fields.String(required=True)
    ok = fields.Boolean(required=True)
    server = fields.String(required=True, allow_none=True)
    port = fields.Integer(required=True, allow_none=True)
    tls = fields.String(required=True, allow_none=True)
    mails = fields.Integer(required=True, allow_none=True)
    error = fields.Dict(required=True, allow_none=True, metadata={"description": "Its class, and what to do."})
    attempts = fields.List(fields.Dict(), required=True)
    certificate = fields.Dict(required=True, allow_none=True, metadata={"description": "The one that was refused."})


@blueprint.get("/lists")
@blueprint.input(AfterSchema, location="query", arg_name="page")
@blueprint.output(ListsSchema)
@needs_scope(Scope.LISTS)
def view(page: dict[str, Any]) -> ResponseReturnValue:
    """All, by name."""
    (after,) = cursors.read(page["after"], 1) or ("",)
    found = backing().lists.page(after, page["limit"] + 1)
    rows, following = cursors.cut(found, page["limit"], lambda one: (one[0].list_id,))
    return {"lists": [list_as_json(one, stored) for one, stored in rows], "next": following}


@blueprint.get("/lists/<list_id>")
@blueprint.output(OneListSchema)
@needs_scope(Scope.LISTS)
def show(list_id: str) -> ResponseReturnValue:
    """One, with its account."""
    return _told(list_id)


@blueprint.post("/lists")
@blueprint.input(NewListSchema, arg_name="given")
@blueprint.output(OneListSchema, status_code=201)
@needs_scope(Scope.LISTS)
def add(given: dict[str, Any]) -> ResponseReturnValue:
    """Saved once its settings work: connect, log in, count. An account that reads that mailbox already is shared."""
    one = ContactList(given["list_id"], given["bounce_email"], given.get("title", ""))
    wanted, password = _wanted(given.get("account", {}))
    _keeping(password).add(one, wanted)
    return _told(one.list_id), 201


@blueprint.patch("/lists/<list_id>")
@blueprint.input(ChangeSchema, arg_name="given")
@blueprint.output(OneListSchema)
@needs_scope(Scope.LISTS)
def change(list_id: str, given: dict[str, Any]) -> ResponseReturnValue:
    """The account changes for all lists that share it. Another way to the mailbox is tried first, and needs the password."""
    before, stored = backing().lists.find_with_account(list_id)
    wanted, password = _wanted(given.get("account", {}))
    one = ContactList(
        list_id,
        given.get("bounce_email", before.bounce_email),
        given.get("title", before.title),
        before.account,
    )
    _keeping(password).change(one, stored, wanted)
    return _told(list_id)


@blueprint.delete("/lists/<list_id>")
@blueprint.output({}, status_code=204)
@needs_scope(Scope.LISTS)
def remove(list_id: str) -> ResponseReturnValue:
    """And its account, if no other list has it. What was found, reported and counted stays."""
    backing().lists.remove(list_id, token().who)
    return "", 204


@blueprint.post("/lists/<list_id>/test")
@blueprint.output(TrialSchema)
@needs_scope(Scope.LISTS)
def test(list_id: str) -> ResponseReturnValue:
    """[Test Bounce Settings] of what is stored; the mailbox is not changed."""
    name = backing().lists.account_of(list_id)
    stored = backing().lists.find_account(name)
    if stored is None:
        raise UnknownList(f"there is no list {list_id!r}")
    return trial_as_json(list_id, settling(TypedPassword("")).try_stored(stored))


def _told(list_id: str) -> dict[str, Any]:
    return list_as_json(*backing().lists.find_with_account(list_id))


def _keeping(password: TypedPassword) -> Keeping:
    return Keeping(backing().lists, settling(password), token().who)


def _wanted(given: dict[str, Any]) -> tuple[Wanted, TypedPassword]:
    tls = given.get("tls")
    minutes = given.get("every_minutes")
    wanted = Wanted(
        server=given.get("server"),
        user=given.get("user"),
        protocol=given.get("type"),
        tls=Tls(tls) if tls not in (None, _AUTO) else None,
        is_auto=tls == _AUTO,
        ca_pem=given.get("ca_pem"),
        folder=given.get("folder"),
        empty=given.get("empty"),
        interval_s=None if minutes is None else 60 * minutes,
        is_active=given.get("is_active"),
        has_new_password="password" in given,
    )
    return wanted, TypedPassword(given.get("password", ""))
