"""Dashboard: what came, what it was, and how the accounts and queues are."""

from typing import Final

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.plots import days_plot
from services.console.roles import Role, needs
from services.ledger.tallies_sql import CAMPAIGN, DOMAIN, LIST, REASON
from services.scheduler.passes_sql import read_passes
from services.scheduler.watching import judge

blueprint = Blueprint("dashboard", __name__)

SPANS: Final = (7, 30, 90)
_SHARES: Final = ((REASON, "Reason"), (DOMAIN, "Domain"), (CAMPAIGN, "Campaign"), (LIST, "List"))


@blueprint.get("/")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The first page."""
    days = _span()
    parts = backing()
    by_day = parts.tallies.by_day(days)
    now, passes = read_passes(parts.engine)
    return render_template(
        "dashboard.html",
        days=days,
        spans=SPANS,
        hard=sum(one.hard for one in by_day),
        soft=sum(one.soft for one in by_day),
        unidentified=sum(one.unidentified for one in by_day),
        ignored=sum(one.ignored for one in by_day),
        shares=[(label, parts.tallies.shares(dimension, days)) for dimension, label in _SHARES],
        depths=parts.queue_depths(),
        accounts=[(one, *judge(one, now)) for one in passes],
    )


@blueprint.get("/plots/days.svg")
@needs(Role.VIEWER)
def days_svg() -> ResponseReturnValue:
    """Bounces by day and verdict."""
    return Response(days_plot(backing().tallies.by_day(_span())), mimetype="image/svg+xml")


def _span() -> int:
    days = request.args.get("days", default=30, type=int)
    return days if days in SPANS else 30
