"""An address in a browser: looked up, suppressed, released."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import picture
from tests.servers.console import Console, serve

LogIn = Callable[..., Page]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with serve(f"sqlite:///{tmp_path / 'mailroom.db'}") as served:
        yield served


def test_somebody_who_is_not_logged_in_is_sent_to_the_login_and_then_to_where_they_wanted(
    console: Console, log_in: LogIn
) -> None:
    page = log_in(console)
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.goto("/addresses/")
    picture(page, "login")
    page.get_by_label("User name").fill("viewer")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("User name or password is wrong")


def test_an_address_is_suppressed_and_released_with_a_reason(console: Console, log_in: LogIn) -> None:
    page = log_in(console, "operator")
    page.get_by_role("link", name="Addresses").click()
    page.get_by_label("Email address").fill("Jane@Example.COM")
    page.get_by_role("button", name="Look up").click()
    expect(page.locator(".answer")).to_have_text("May be mailed")
    page.get_by_label("Why").fill("asked us by phone")
    page.get_by_role("button", name="Suppress").click()
    expect(page.locator(".answer")).to_have_text("Do not mail")
    expect(page.get_by_text("operator: asked us by phone").first).to_be_visible()
    picture(page, "address-suppressed")
    page.get_by_label("Why").fill("asked us back")
    page.get_by_role("button", name="Release").click()
    expect(page.locator(".answer")).to_have_text("May be mailed")
