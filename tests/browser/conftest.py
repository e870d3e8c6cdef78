"""A real Chromium, and pages of a person who is logged in."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.servers import chromium
from tests.servers.console import PASSWORD, Console

PICTURES = Path(__file__).parents[2] / "docs" / "console"
SIZES = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 400, "height": 800}}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests; each has contexts of its own."""
    with chromium.start() as started:
        yield started


@pytest.fixture
def log_in(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A page of somebody who has just logged in: `log_in(console, "operator")`."""
    contexts = []

    def log_in(console: Console, name: str = "administrator", **options: object) -> Page:
        context = browser.new_context(base_url=console.url, viewport=SIZES["wide"], **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        return page

    yield log_in
    for context in contexts:
        context.close()


def picture(page: Page, name: str) -> None:
    """A picture at both widths; kept in docs/console/ when MAILROOM_TEST_PICTURES is set."""
    if not os.environ.get("MAILROOM_TEST_PICTURES"):
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
    page.set_viewport_size(SIZES["wide"])  # type: ignore[arg-type]
