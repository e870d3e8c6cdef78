"""Runs: every pass over a mailbox, newest first."""

from datetime import datetime
from typing import Final

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.paging import Page, after_of
from services.console.roles import Role, needs
from services.scheduler.passes_sql import RunSeen, read_runs

blueprint = Blueprint("runs", __name__, url_prefix="/runs")

_ROWS: Final = 50


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """A page of them."""
    found = read_runs(backing().engine, _after(), _ROWS + 1)
    page: Page[RunSeen] = Page.of(found, _ROWS, lambda one: (one.started_at.isoformat(), one.run_id))
    return render_template("runs/view.html", page=page)


def _after() -> tuple[datetime, str] | None:
    given = after_of(request.args, 2)
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given[0])
    except ValueError:
        abort(404)
    return (at, given[1]) if at.tzinfo else abort(404)
