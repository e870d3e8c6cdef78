"""The pages, a module for each entry of the menu."""

from typing import Final

from flask import Flask

from services.console.pages import (
    addresses,
    audit,
    contacts,
    dashboard,
    dead_letters,
    lists,
    login,
    mails,
    policy,
    process,
    runs,
    tokens,
    unidentified,
    users,
)

PAGES: Final = (
    login,
    dashboard,
    lists,
    contacts,
    process,
    runs,
    addresses,
    unidentified,
    mails,
    dead_letters,
    policy,
    users,
    tokens,
    audit,
)


def register(app: Flask) -> None:
    """Every page's routes."""
    for page in PAGES:
        app.register_blueprint(page.blueprint)
