"""The pages, a module for each entry of the menu."""

from flask import Flask

from services.console.pages import addresses, dashboard, lists, login, process, runs

PAGES = (login, dashboard, lists, process, runs, addresses)


def register(app: Flask) -> None:
    """Every page's routes."""
    for page in PAGES:
        app.register_blueprint(page.blueprint)
