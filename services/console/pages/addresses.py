"""Addresses: may it be mailed, why, since when; release and suppress."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.roles import Role, needs
from services.console.sessions import person
from services.ledger.marking import Done
from shared.addresses import normalise_address
from shared.errors import InvalidAddress

blueprint = Blueprint("addresses", __name__, url_prefix="/addresses")


class FindSchema(Schema):
    """An address to look up."""

    address = fields.String(
        required=True,
        metadata={"label": "Email address", "placeholder": "jane@example.com"},
        validate=validate.Length(1, 1000),
    )


class WhySchema(Schema):
    """A person's word."""

    why = fields.String(
        required=True,
        metadata={"label": "Why", "help": "Kept in the history of the address."},
        validate=validate.Length(1, 1000),
    )


@blueprint.get("/")
@needs(Role.VIEWER)
def find() -> ResponseReturnValue:
    """A field to look an address up."""
    if "address" not in request.args:
        return render_template("addresses/find.html", form=Form(FindSchema()))
    form = read_form(FindSchema(), request.args)
    if form.is_good:
        try:
            return redirect(url_for("addresses.show", address=normalise_address(form.data["address"])))
        except InvalidAddress as exc:
            form.refuse("address", str(exc))
    return render_template("addresses/find.html", form=form)


@blueprint.get("/of")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """Everything that is known of one address."""
    try:
        address = normalise_address(request.args.get("address", ""))
    except InvalidAddress as exc:
        flash(str(exc), "danger")
        return redirect(url_for("addresses.find"))
    history = backing().history.read(address)
    return render_template("addresses/show.html", address=address, history=history, form=Form(WhySchema()))


@blueprint.post("/suppress")
@needs(Role.OPERATOR)
def suppress() -> ResponseReturnValue:
    """Nothing is mailed to it until it is released."""
    return _mark("suppressed")


@blueprint.post("/release")
@needs(Role.OPERATOR)
def release() -> ResponseReturnValue:
    """What was reported until now never counts again."""
    return _mark("released")


def _mark(how: str) -> ResponseReturnValue:
    form = read_form(WhySchema(), request.form)
    address = request.form.get("address", "")
    if not form.is_good:
        flash("Say why: whoever reads the history of the address will want to know.", "danger")
        return redirect(url_for("addresses.show", address=address))
    marking = backing().marking
    say = marking.suppress if how == "suppressed" else marking.release
    done: Done = say([address], form.data["why"], person().name)
    flash(f"{done.marked[0].recipient} is {how}.", "success")
    if not done.is_told:
        flash("Senders could not be told yet; a running ledger makes up for it.", "warning")
    return redirect(url_for("addresses.show", address=done.marked[0].recipient))
