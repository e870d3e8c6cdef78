"""Unidentified: bounces of which nobody can tell the reason, newest first."""

from typing import Final

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.paging import Page, moment_after
from services.console.roles import Role, needs
from services.ledger.looking_sql import Unrecognised

blueprint = Blueprint("unidentified", __name__, url_prefix="/unidentified")

_ROWS: Final = 50


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """A page of them."""
    found = backing().looking.unidentified(moment_after(request.args), _ROWS + 1)
    page: Page[Unrecognised] = Page.of(found, _ROWS, lambda one: (one.received_at.isoformat(), one.raw_id))
    return render_template("unidentified.html", page=page)
