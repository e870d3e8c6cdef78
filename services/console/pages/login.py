"""Log in, log out."""

from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields

from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.people_sql import TooManyGuesses
from services.console.roles import Role, needs
from services.console.sessions import begin, end

blueprint = Blueprint("login", __name__)


class LoginSchema(Schema):
    """Who comes."""

    name = fields.String(required=True, metadata={"label": "User name", "autocomplete": "username"})
    password = fields.String(
        required=True, metadata={"label": "Password", "kind": "password", "autocomplete": "current-password"}
    )


@blueprint.get("/login")
@needs(Role.ANYBODY)
def show() -> ResponseReturnValue:
    """The form."""
    return render_template("login.html", form=Form(LoginSchema()), has_people=bool(backing().people.all()))


@blueprint.post("/login")
@needs(Role.ANYBODY)
def log_in() -> ResponseReturnValue:
    """To the page that was asked for, if name and password are right."""
    form = read_form(LoginSchema(), request.form)
    status = 200
    if form.is_good:
        try:
            token = backing().people.log_in(form.data["name"], form.data["password"], request.remote_addr or "")
        except TooManyGuesses as exc:
            form.refuse("_schema", f"{str(exc)[0].upper()}{str(exc)[1:]}.")
            status = 429
        else:
            if token is not None:
                begin(token)
                return redirect(_inside(request.args.get("next", "")))
            form.refuse("_schema", "User name or password is wrong.")
    return render_template("login.html", form=form, has_people=True), status


@blueprint.get("/login/<link>")
@needs(Role.ANYBODY)
def by_link(link: str) -> ResponseReturnValue:
    """With the link that whoever started this process was shown; once."""
    if request.method == "HEAD":  # whoever looks whether it is there has not used it
        return ""
    own = backing().link
    name = own.use(link) if own else None
    token = backing().people.let_in(name) if name else None
    if token is None:
        flash("That link was used, or is too old. Start `mailroom up` again for another one.", "warning")
        return redirect(url_for("login.show"))
    begin(token)
    return redirect(url_for("dashboard.show"))


@blueprint.post("/logout")
@needs(Role.ANYBODY)
def log_out() -> ResponseReturnValue:
    """The session is over."""
    end()
    flash("You are logged out.", "info")
    return redirect(url_for("login.show"))


def _inside(wanted: str) -> str:
    """Only a path of ours: nobody is sent elsewhere by a link to the login."""
    parts = urlsplit(wanted)
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return wanted if is_ours and wanted.isprintable() else url_for("dashboard.show")
