"""What the API is, for programs (OpenAPI) and for people (its page)."""

from typing import Any, Final

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, render_template, send_from_directory
from flask.typing import ResponseReturnValue
from swagger_ui_bundle import swagger_ui_path

from services.console.api.schemas import ProblemSchema
from services.console.roles import Role, needs
from shared.contract import JSON, RFC822

blueprint = Blueprint("api_documents", __name__, url_prefix="/api")

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI writes styles into its elements; scripts stay our own files."""
_BUILT: Final = "mailroom.openapi"
_UI_FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js")
_PROBLEMS: Final = {
    "400": "The request cannot be read.",
    "401": "A token is needed.",
    "403": "The token has not the scope.",
    "404": "There is no such thing.",
    "409": "The first request with this Idempotency-Key is still worked on.",
    "413": "The request is too large.",
    "415": "It is of another content type than can be read.",
    "422": "Something in it is wrong; detail says what.",
    "429": "Too many requests: Retry-After says when.",
    "503": "A server is away, and nothing was done: Retry-After says when to try again.",
}


@blueprint.get("/openapi.json")
@needs(Role.ANYBODY)
def openapi() -> ResponseReturnValue:
    """The description for programs."""
    app: Any = current_app
    if _BUILT not in app.extensions:  # routes are registered once, and anybody may ask as often as they like
        app.extensions[_BUILT] = app.json.dumps(app.spec)
    return Response(app.extensions[_BUILT], mimetype=JSON)


@blueprint.get("/docs")
@needs(Role.ANYBODY)
def docs() -> ResponseReturnValue:
    """The description for people, who may try it with a token."""
    response = Response(render_template("api_docs.html"))
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@blueprint.get("/ui/<filename>")
@needs(Role.ANYBODY)
def ui(filename: str) -> ResponseReturnValue:
    """Swagger UI's files, from its package."""
    if filename not in _UI_FILES:
        return {"message": "There is no such file.", "detail": {}}, 404
    return send_from_directory(swagger_ui_path, filename)


def describe(app: APIFlask) -> None:
    """What the routes' own schemas do not say."""
    app.config["INFO"] = {
        "description": "May an address be mailed, and what became of the bounces. Every request carries "
        "`Authorization: Bearer TOKEN`; an administrator makes tokens in the console, under API Tokens."
    }
    app.config["OPENAPI_VERSION"] = "3.0.3"  # what the packaged page draws
    app.config["SECURITY_SCHEMES"] = {"token": {"type": "http", "scheme": "bearer"}}
    app.config["VALIDATION_ERROR_SCHEMA"] = ProblemSchema
    app.config["HTTP_ERROR_SCHEMA"] = ProblemSchema

    @app.spec_processor
    def complete(spec: Any) -> Any:
        problem = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        schemas = spec.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM
        for operations in spec["paths"].values():
            for method, operation in operations.items():
                if method == "parameters":
                    continue
                operation["security"] = [{"token": []}]
                for status, description in _PROBLEMS.items():
                    operation["responses"][status] = {"description": description, **problem}
                if method != "get":
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY)
        spec["paths"]["/api/v1/bounces"]["post"]["requestBody"] = _a_bounce()
        return spec


def _a_bounce() -> dict[str, Any]:
    as_json = {
        "type": "object",
        "required": ["raw"],
        "properties": {
            "raw": {"type": "string", "format": "byte"},
            "list_id": {"type": "string", "nullable": True},
            "received_at": {"type": "string", "format": "date-time", "nullable": True},
            "truncated": {"type": "boolean"},
        },
    }
    mail = {"type": "string", "format": "binary"}
    return {"required": True, "content": {RFC822: {"schema": mail}, JSON: {"schema": as_json}}}


_PROBLEM: Final = {
    "type": "object",
    "required": ["message", "detail"],
    "properties": {"message": {"type": "string"}, "detail": {"type": "object"}},
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$"},
    "description": "The same request with the same key again is answered as before, and not done again; for 24 hours.",
}
