"""Policy: after how many soft bounces an address counts as bounced, and what complaints do."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.roles import Role, needs
from services.console.sessions import person
from services.ledger.policy import Policy

blueprint = Blueprint("policy", __name__, url_prefix="/policy")


class PolicySchema(Schema):
    """The rule."""

    soft_limit = fields.Integer(
        required=True,
        validate=validate.Range(1, 1000),
        metadata={
            "label": "Soft bounces until an address counts as bounced",
            "help": "5 is the rule. A hard bounce counts at once.",
        },
    )
    complaint_suppresses = fields.Boolean(
        load_default=False, metadata={"label": "A complaint (feedback report) suppresses the address"}
    )
    why = fields.String(required=True, metadata={"label": "Why"}, validate=validate.Length(1, 1000))


@blueprint.get("/")
@needs(Role.ADMINISTRATOR)
def show() -> ResponseReturnValue:
    """The rule in force, and those before it."""
    versions = backing().policy.versions()
    return render_template(
        "policy.html", versions=versions, form=Form(PolicySchema(), versions[0].in_force.limits._asdict())
    )


@blueprint.post("/")
@needs(Role.ADMINISTRATOR)
def change() -> ResponseReturnValue:
    """A new version; a running ledger judges every address anew."""
    form = read_form(PolicySchema(), request.form)
    if not form.is_good:
        return render_template("policy.html", versions=backing().policy.versions(), form=form), 422
    limits = Policy(form.data["soft_limit"], form.data["complaint_suppresses"])
    before = backing().policy.in_force()
    made = backing().policy.change(limits, person().name, form.data["why"])
    if made.version == before.version:
        flash(f"Version {made.version} says so already: nothing is changed.", "info")
    else:
        flash(f"Version {made.version} is in force. A running ledger judges every address anew.", "success")
    return redirect(url_for("policy.show"))
