"""The Flask application: its pages, its API, and what holds for every answer."""

from datetime import datetime
from typing import Any, Final

import structlog
from apiflask import APIFlask
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Response, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_bootstrap import Bootstrap5
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from services.console import api, pages, sessions
from services.console.api.door import problem
from services.console.api.json_provider import ApiJson
from services.console.backing import EXTENSION, Backing
from services.console.menu import MENU
from services.console.roles import Role
from services.fetcher.lists_sql import UnknownList
from shared.errors import ConfigurationError, InvalidAddress, Permanent, Transient

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
API: Final = "/api/"
_LONGEST_FLASH: Final = 1_000
"""It travels in a cookie, of which browsers take 4 KB."""

log = structlog.get_logger(__name__)


def create_application(backing: Backing, *, secret_key: str, is_https: bool = False, proxies: int = 0) -> APIFlask:
    """The whole of it over one backing. `secret_key` as in MAILROOM_SECRET_KEY, newest first."""
    app = APIFlask(__name__, title="Mailroom bounces", version="1", docs_path=None, spec_path=None)
    keys = [_derived(key) for key in secret_key.split(",") if key.strip()]
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        SESSION_COOKIE_NAME="mailroom",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=is_https,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=is_https,
        BOOTSTRAP_SERVE_LOCAL=True,
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )
    app.extensions[EXTENSION] = backing
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    Bootstrap5(app)
    csrf = CSRFProtect(app)
    app.json = ApiJson(app)
    _refuse_what_is_no_text(app)
    sessions.guard(app)
    pages.register(app)
    api.register(app)
    for part in api.PARTS:
        csrf.exempt(part.blueprint)  # a token in a header, which no page of others can set; cookies open nothing there
    _answer_alike(app)
    _fill_templates(app)
    return app


def _derived(key: str) -> bytes:
    return HKDF(SHA256(), 32, None, b"mailroom console cookies").derive(key.strip().encode())


def _refuse_what_is_no_text(app: APIFlask) -> None:
    """NUL, which PostgreSQL has no place for; nobody types it."""

    @app.before_request
    def check_texts() -> None:
        texts = [request.path]
        texts += [text for given in (request.args, request.form) for _, text in given.items(multi=True)]
        if any("\x00" in text for text in texts):
            abort(400)


def _answer_alike(app: APIFlask) -> None:
    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.path.startswith(("/static/", "/bootstrap/")):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(CSRFError)
    def say_stale(error: CSRFError) -> ResponseReturnValue:
        return _page_of_error(403, "This page was open for too long", "Go back, load the page again, and repeat it.")

    @app.errorhandler(HTTPException)
    def say_refused(error: HTTPException) -> ResponseReturnValue:
        if request.path.startswith(API):
            text = _API_WORDS.get(error.code or 500, error.description or "")
            return problem(error.code or 500, error.name, {"text": text})
        title, text = _WORDS.get(error.code or 500, (error.name, error.description or ""))
        return _page_of_error(error.code or 500, title, text)

    @app.errorhandler(InvalidAddress)
    @app.errorhandler(ConfigurationError)
    def say_wrong(error: ConfigurationError | InvalidAddress) -> ResponseReturnValue:
        """What no page caught: told on the page that the person came from."""
        if request.path.startswith(API):
            return problem(404 if isinstance(error, UnknownList) else 422, str(error))
        if isinstance(error, UnknownList) and request.method == "GET":
            return _page_of_error(404, *_WORDS[404])
        flash(str(error)[:_LONGEST_FLASH], "danger")
        return redirect(_where_from())

    @app.errorhandler(ValidationError)
    def say_invalid(error: ValidationError) -> ResponseReturnValue:
        """What a schema of the contract refuses."""
        return problem(422, "Validation error", error.messages)

    @app.errorhandler(Permanent)
    def say_broken(error: Permanent) -> ResponseReturnValue:
        """A raw bounce that is none."""
        return problem(422, str(error))

    @app.errorhandler(Transient)
    def say_away(error: Transient) -> ResponseReturnValue:
        log.warning("waiting_for_a_server", cause=str(error))
        if request.path.startswith(API):
            return problem(503, f"{error}. Nothing is lost: try again in a moment.", Retry_After="5")
        return _page_of_error(503, "A server is away", f"{error}. Nothing is lost: try again in a moment.")


def _where_from() -> str:
    """The page before, if it is one of ours."""
    if request.method != "GET" and request.referrer and request.referrer.startswith(request.host_url):
        return request.referrer
    return url_for("dashboard.show")


_WORDS: Final = {
    400: ("That cannot be read", "It holds a character that no text has. Start from the menu."),
    403: ("You may not do that", "Ask an administrator for the role that this needs."),
    404: ("There is no such page", "It may have been removed. Start from the menu."),
    405: ("That cannot be done here", "Start from the menu."),
    413: ("That is too large", "Send it in parts."),
}


_API_WORDS: Final = {
    404: "Nothing has that address, or that id. /api/docs describes the routes.",
    405: "This route takes another method: /api/docs describes it.",
}


def _page_of_error(status: int, title: str, text: str) -> ResponseReturnValue:
    return render_template("error.html", title=title, text=text), status


def _fill_templates(app: APIFlask) -> None:
    @app.context_processor
    def values() -> dict[str, Any]:
        person = g.get("person")
        shown = [section for section in MENU if person is not None and person.role.may(section.role)]
        return {"person": person, "menu": shown, "Role": Role, "url_if": app.view_functions.get}

    @app.template_filter("moment")
    def moment(value: datetime | None) -> str:
        """A time as people read it, in UTC."""
        return f"{value:%Y-%m-%d %H:%M} UTC" if value else "–"

    @app.template_filter("count")
    def count(value: int | None) -> str:
        return "–" if value is None else f"{value:,}"
