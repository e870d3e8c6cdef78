"""Audit: who changed what by hand."""

from typing import Final

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.paging import Page, number_after
from services.console.roles import Role, needs
from services.ledger.looking_sql import Done

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

_ROWS: Final = 100


@blueprint.get("/")
@needs(Role.ADMINISTRATOR)
def view() -> ResponseReturnValue:
    """A page, the newest first."""
    subject = request.args.get("subject", "").strip()
    found = backing().looking.done(number_after(request.args), _ROWS + 1, subject)
    page: Page[Done] = Page.of(found, _ROWS, lambda one: (one.id,))
    return render_template("audit.html", page=page, subject=subject)
