"""Users: who may use the console."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.people import LEAST_PASSWORD
from services.console.roles import GIVEN, Role, needs
from services.console.sessions import person
from shared.errors import ConfigurationError

blueprint = Blueprint("users", __name__, url_prefix="/users")

_ROLES = validate.OneOf(
    [role.value for role in GIVEN], ["Viewer: looks", "Operator: processes bounces", "Administrator"]
)


class NewUserSchema(Schema):
    """Somebody who may log in."""

    name = fields.String(required=True, metadata={"label": "User name"}, validate=validate.Length(1, 64))
    role = fields.String(load_default=Role.VIEWER.value, validate=_ROLES, metadata={"label": "Role"})
    password = fields.String(
        required=True,
        metadata={
            "label": "Password",
            "kind": "password",
            "autocomplete": "new-password",
            "help": f"At least {LEAST_PASSWORD} characters.",
        },
    )


@blueprint.get("/")
@needs(Role.ADMINISTRATOR)
def view() -> ResponseReturnValue:
    """All of them, and a form for another."""
    return _page(Form(NewUserSchema()))


@blueprint.post("/")
@needs(Role.ADMINISTRATOR)
def add() -> ResponseReturnValue:
    """Another one."""
    form = read_form(NewUserSchema(), request.form)
    if form.is_good:
        try:
            name = form.data["name"]
            backing().people.add(name, Role(form.data["role"]), form.data["password"], person().name)
        except ConfigurationError as exc:
            form.refuse("_schema", str(exc))
        else:
            flash(f"{name} may log in.", "success")
            return redirect(url_for("users.view"))
    return _page(form), 422


@blueprint.post("/<name>/role")
@needs(Role.ADMINISTRATOR)
def change_role(name: str) -> ResponseReturnValue:
    """Ends their sessions."""
    role = request.form.get("role", "")
    if role not in {one.value for one in GIVEN}:
        raise ConfigurationError("choose a role")
    backing().people.change(name, person().name, role=Role(role))
    flash(f"{name} is {role} now.", "success")
    return redirect(url_for("users.view"))


@blueprint.post("/<name>/access")
@needs(Role.ADMINISTRATOR)
def change_access(name: str) -> ResponseReturnValue:
    """Shut out, or let in again."""
    is_active = request.form.get("is_active") == "1"
    backing().people.change(name, person().name, is_active=is_active)
    flash(f"{name} {'may log in again' if is_active else 'is shut out'}.", "success")
    return redirect(url_for("users.view"))


@blueprint.post("/<name>/password")
@needs(Role.ADMINISTRATOR)
def change_password(name: str) -> ResponseReturnValue:
    """Ends their sessions."""
    backing().people.set_password(name, request.form.get("password", ""), person().name)
    flash(f"The password of {name} is changed.", "success")
    return redirect(url_for("users.view"))


def _page(form: Form) -> str:
    return render_template("users.html", people=backing().people.all(), form=form, roles=GIVEN)
