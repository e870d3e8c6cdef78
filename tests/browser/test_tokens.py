"""API Tokens, and the page that describes the API."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import picture
from tests.servers.console import Console, serve

LogIn = Callable[..., Page]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with serve(f"sqlite:///{tmp_path / 'mailroom.db'}") as running:
        yield running


def test_a_token_is_made_shown_once_and_revoked(console: Console, log_in: LogIn) -> None:
    page = log_in(console)
    page.get_by_role("link", name="API Tokens").first.click()
    expect(page.get_by_text("There is no token yet")).to_be_visible()
    page.get_by_label("Name").fill("shop")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_text("choose at least one")).to_be_visible()
    page.get_by_label("check:").check()
    page.get_by_role("button", name="Make").click()
    token = page.locator(".secret code").inner_text()
    picture(page, "tokens")
    asked = {"headers": {"Authorization": f"Bearer {token}"}, "data": {"addresses": ["jane@example.com"]}}
    answer = page.request.post(f"{console.url}/api/v1/check", **asked)
    assert answer.json()["answers"] == [{"address": "jane@example.com", "suppressed": False}]
    page.goto(f"{console.url}/tokens/")
    assert token not in page.content()
    results = Axe().run(page)
    assert [one["id"] for one in results.response["violations"] if one["impact"] in ("serious", "critical")] == []
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token shop opens nothing any more")).to_be_visible()
    assert page.request.post(f"{console.url}/api/v1/check", **asked).status == 401


def test_the_page_of_the_api_is_drawn_within_its_policy(console: Console, log_in: LogIn) -> None:
    page = log_in(console)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(f"{console.url}/api/docs")
    expect(page.get_by_text("/api/v1/check")).to_be_visible()
    page.get_by_text("/api/v1/check").click()
    expect(page.get_by_text("is never said to be clean")).to_be_visible()
    assert said == []
