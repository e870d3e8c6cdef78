"""The HTTP API under /api/v1: a module for each kind of thing; its schemas check requests and describe them."""

from typing import Final

from apiflask import APIFlask

from services.console.api import addresses, checking, dead_letters, documents, door, intake, lists, runs

PARTS: Final = (checking, addresses, lists, runs, dead_letters, intake)


def register(app: APIFlask) -> None:
    """Every part's routes, behind the door, and the pages that describe them."""
    for part in PARTS:
        app.register_blueprint(part.blueprint, url_prefix=door.PREFIX)
    app.register_blueprint(documents.blueprint)
    door.put(app, [part.blueprint.name for part in PARTS])
    documents.describe(app)
