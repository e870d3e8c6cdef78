"""The door of the API: a token with the scope that the route asks for, not too often, and nothing done twice."""

import hashlib
from collections.abc import Collection
from typing import Any, Final

import structlog
from apiflask import APIFlask
from flask import Response, abort, current_app, g, jsonify, request
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.tokens import ApiToken, needed_scope
from shared.errors import Transient

PREFIX: Final = "/api/v1"
LONGEST_KEY: Final = 128
_FORM: Final = "application/x-www-form-urlencoded"
_REPEATED: Final = "Idempotency-Replayed"

log = structlog.get_logger(__name__)


def put(app: APIFlask, names: Collection[str]) -> None:
    """In front of the blueprints of these names."""

    @app.before_request
    def let_in() -> ResponseReturnValue | None:
        g.token = g.reply_key = None
        if request.blueprint not in names:
            return None
        return _check_token() or _check_json() or _answer_before()

    @app.after_request
    def keep_reply(response: Response) -> Response:
        key = g.get("reply_key")
        if key is not None:
            g.reply_key = None
            try:
                backing().replies.end(token().name, key, response.status_code, response.get_data())
            except Transient as exc:  # what was done is done; sent again, it is 409 first, and then done again
                log.warning("reply_not_kept", cause=str(exc))
        return response


def token() -> ApiToken:
    """Whose request this is. Only for views of the API."""
    found: ApiToken = g.token
    return found


def problem(status: int, message: str, detail: Any = None, **headers: str) -> Response:
    """An answer that says what is wrong: {"message", "detail"}."""
    response = jsonify({"message": message, "detail": detail or {}})
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def _check_token() -> Response | None:
    scope = needed_scope(current_app.view_functions[request.endpoint or ""])
    if scope is None:
        abort(403)
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    found = backing().tokens.find(text.strip()) if kind.lower() == "bearer" else None
    if found is None:
        what = "The token is unknown, or was revoked" if text else "A token is needed"
        return problem(
            401,
            f"{what}: send Authorization: Bearer TOKEN. An administrator makes one under API Tokens.",
            WWW_Authenticate="Bearer",
        )
    wait_s = backing().pace.wait(found.name)
    if wait_s:
        return problem(429, f"Too many requests: wait {wait_s} s.", Retry_After=str(wait_s))
    if scope not in found.scopes:
        return problem(403, f"The token {found.name!r} has not the scope {scope.value!r}.")
    g.token = found
    return None


def _check_json() -> Response | None:
    """What webargs reads with the standard library may hold what no database keeps: NUL, and lone surrogates."""
    if request.mimetype == _FORM and request.get_data(cache=True):  # as curl says of whatever it sends
        return problem(415, "That is said to be a form: send Content-Type: application/json.")
    if request.is_json and request.get_data(cache=True):
        try:
            current_app.json.loads(request.get_data())
        except ValueError as exc:
            return problem(400, f"That is no JSON that can be read: {exc}.")
    return None


def _answer_before() -> Response | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        return problem(400, f"Idempotency-Key has 1 to {LONGEST_KEY} printable characters.")
    parts = (request.method, request.full_path, request.mimetype)
    asked = hashlib.sha256("\n".join(parts).encode() + b"\n" + request.get_data(cache=True)).hexdigest()
    before = backing().replies.begin(token().name, key, asked)
    if before is None:
        g.reply_key = key
        return None
    if not before.is_same:
        return problem(422, "This Idempotency-Key was used for another request: take a new one for each.")
    if before.status is None:
        return problem(409, "The first request with this Idempotency-Key is still worked on.", Retry_After="1")
    response = Response(before.body, before.status, mimetype="application/json")
    response.headers[_REPEATED] = "true"
    return response
