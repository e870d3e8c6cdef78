"""Runs: every pass over a mailbox, newest first."""

from typing import Final

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.paging import Page, moment_after
from services.console.roles import Role, needs
from services.scheduler.passes_sql import RunSeen, read_runs

blueprint = Blueprint("runs", __name__, url_prefix="/runs")

_ROWS: Final = 50


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """A page of them."""
    found = read_runs(backing().engine, moment_after(request.args), _ROWS + 1)
    page: Page[RunSeen] = Page.of(found, _ROWS, lambda one: (one.started_at.isoformat(), one.run_id))
    return render_template("runs/view.html", page=page)
