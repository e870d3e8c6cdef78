"""API Tokens: which programs may use the HTTP API, and for what."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.roles import Role, needs
from services.console.sessions import person
from services.console.tokens import MEANING, Scope
from shared.errors import ConfigurationError

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")


class NewTokenSchema(Schema):
    """A program that may use the API."""

    name = fields.String(
        required=True,
        metadata={"label": "Name", "help": "Which program it is for. The audit shows it."},
        validate=validate.Length(1, 58),
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf([scope.value for scope in Scope])), metadata={"label": "It may"}
    )


@blueprint.get("/")
@needs(Role.ADMINISTRATOR)
def view() -> ResponseReturnValue:
    """All of them, and a form for another."""
    return _page(Form(NewTokenSchema()))


@blueprint.post("/")
@needs(Role.ADMINISTRATOR)
def make() -> ResponseReturnValue:
    """Another one. This answer is the only place where it is ever shown."""
    form = read_form(NewTokenSchema(), request.form)
    if form.is_good:
        try:
            scopes = {Scope(word) for word in form.data.get("scopes", [])}
            made = backing().tokens.make(form.data["name"], scopes, person().name)
        except ConfigurationError as exc:
            form.refuse("_schema", str(exc))
        else:
            return _page(Form(NewTokenSchema()), made=made, name=form.data["name"])
    return _page(form), 422


@blueprint.post("/<name>/revoke")
@needs(Role.ADMINISTRATOR)
def revoke(name: str) -> ResponseReturnValue:
    """At once, and for good."""
    backing().tokens.revoke(name, person().name)
    flash(f"The token {name} opens nothing any more.", "success")
    return redirect(url_for("tokens.view"))


def _page(form: Form, made: str = "", name: str = "") -> str:
    tokens = backing().tokens.all()
    chosen = set(form.values.get("scopes", []))
    return render_template(
        "tokens.html", tokens=tokens, form=form, meaning=MEANING, chosen=chosen, made=made, name=name
    )
