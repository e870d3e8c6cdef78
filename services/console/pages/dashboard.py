"""Dashboard: what came, what it was, and how the accounts are."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from services.console.roles import Role, needs

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The first page."""
    return render_template("dashboard.html")
