"""Contact lists in a browser: configured step by step, tested before they are saved."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import picture
from tests.servers.console import Console, serve
from tests.servers.dovecot import DovecotServer, Mailbox

LogIn = Callable[..., Page]


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    with serve(f"sqlite:///{tmp_path / 'mailroom.db'}") as served:
        yield served


def fill_in(page: Page, dovecot: DovecotServer, mailbox: Mailbox, password: str | None = None) -> None:
    """The details of a bounce account at the test's mail server."""
    page.get_by_label("Bounce Email Server Name").fill(f"localhost:{dovecot.pop3s_port}")
    page.get_by_label("Bounce Email User Name").fill(mailbox.user)
    page.get_by_label("Bounce Email Password").fill(mailbox.password if password is None else password)
    page.get_by_text("More settings").click()
    page.get_by_label("Certificate authority").fill(dovecot.ca_file.read_text())


def test_the_configuration_of_the_article_step_by_step(
    console: Console, log_in: LogIn, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    for _ in range(3):
        mailbox.deliver(b"Subject: x\r\n\r\ny\r\n")
    before = mailbox.mails()
    page = log_in(console)
    page.get_by_role("link", name="View Contact Lists").first.click()
    expect(page.get_by_role("heading", name="No contact list yet")).to_be_visible()
    picture(page, "lists-empty")
    page.get_by_role("link", name="New Contact List").click()
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("List Bounce Email").fill("bounce@example.com")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("no bounce account yet")).to_be_visible()

    page.get_by_role("link", name="edit weekly").click()
    fill_in(page, dovecot, mailbox, password="wrong")
    page.get_by_role("button", name="Test Bounce Settings").click()
    expect(page.get_by_role("alert")).to_contain_text("login refused")
    picture(page, "lists-test-refused")
    page.get_by_label("Bounce Email Password").fill(mailbox.password)
    page.get_by_role("button", name="Test Bounce Settings").click()
    expect(page.locator("#trial")).to_contain_text("3 mails")
    picture(page, "lists-test-works")
    assert mailbox.mails() == before, "a test changes nothing"
    assert console.backing.lists.find_list("weekly").account is None, "and saves nothing"
    assert mailbox.password not in page.content()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("weekly is saved.")).to_be_visible()
    expect(page.get_by_text(f"localhost:{dovecot.pop3s_port}")).to_be_visible()
    picture(page, "lists")

    page.get_by_role("link", name="edit weekly").click()
    expect(page.get_by_label("Bounce Email Password")).to_have_value("")
    page.get_by_label("Empty Inbox When Done").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("weekly is saved.")).to_be_visible()
    stored = console.backing.lists.find_account("weekly")
    assert stored is not None
    assert (stored.account.empty, stored.account.port) == ("nothing", dovecot.pop3s_port)


def test_a_password_that_was_tested_is_sent_to_no_other_server(
    console: Console, log_in: LogIn, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    page = log_in(console)
    page.goto("/lists/new")
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("List Bounce Email").fill("bounce@example.com")
    fill_in(page, dovecot, mailbox)
    page.get_by_role("button", name="Test Bounce Settings").click()
    expect(page.locator("#trial")).to_contain_text("It works")
    page.get_by_label("Bounce Email Server Name").fill("127.0.0.1:1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Type the Bounce Email Password")


def test_somebody_who_only_looks_finds_no_way_to_change(console: Console, log_in: LogIn) -> None:
    page = log_in(console, "viewer")
    page.goto("/lists/")
    expect(page.get_by_role("link", name=re.compile("New|edit"))).to_have_count(0)
    answer = page.goto("/lists/new")
    assert answer is not None
    assert answer.status == 403
