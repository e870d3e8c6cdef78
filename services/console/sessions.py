"""Logging in and out, and the one door that every request goes through."""

from datetime import UTC, datetime
from typing import Final

from flask import Flask, abort, current_app, flash, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.people import Person
from services.console.roles import Role, needed_role

_KEY: Final = "session"


def guard(app: Flask) -> None:
    """Refuse each request whose route needs more than the person may; a route that names no role is refused to all."""

    @app.before_request
    def check_role() -> ResponseReturnValue | None:
        g.person = None
        if request.endpoint is None:
            return None  # nothing of that name: 404, or 405
        needed = _needed(app, request.endpoint)
        if needed == Role.ANYBODY:
            return None
        if needed is None:
            abort(403)
        g.person = _person()
        if g.person is None:
            if request.method != "GET":
                abort(403)
            return redirect(url_for("login.show", next=request.full_path.rstrip("?")))
        if not g.person.role.may(needed):
            abort(403)
        return None


def _needed(app: Flask, endpoint: str) -> Role | None:
    if endpoint == "static" or endpoint.endswith(".static"):
        return Role.ANYBODY
    return needed_role(app.view_functions.get(endpoint))


def begin(token: str) -> None:
    """A new session: nothing that the browser brought survives the login."""
    session.clear()
    session[_KEY] = token


def end() -> None:
    """Here and in the database."""
    token = session.get(_KEY)
    if token:
        backing().people.log_out(token)
    session.clear()


def _person() -> Person | None:
    token = session.get(_KEY)
    if not isinstance(token, str):
        return None
    found = backing().people.of_session(token, datetime.now(UTC))
    if found is None:
        session.clear()
        flash("Your session is over. Log in again.", "info")
    return found


def person() -> Person:
    """Who asks. Only for views that need a role."""
    found: Person = g.person
    assert found is not None, current_app.name
    return found
