"""Process Bounced Emails in a real browser, step by step, against the real services and a real mailbox."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Page, expect

from shared.suppressions import SUPPRESSED_KEY
from tests.browser.conftest import picture
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import services
from tests.servers.console import SECRET_KEY, Console, serve
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.waiting import eventually

pytestmark = pytest.mark.timeout(240)
LogIn = Callable[..., Page]


@pytest.fixture
def console(tmp_path: Path, amqp_url: str, database_url: str, redis_url: str) -> Iterator[Console]:
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_SECRET_KEY": SECRET_KEY,
    }
    with (
        serve(database_url, amqp_url=amqp_url, redis_url=redis_url) as served,
        services(environment, tmp_path) as running,
    ):
        for service in ("fetcher", "classifier", "ledger"):
            running.start(service)
        yield served
        assert running.stop_all() == [0, 0, 0]


def configure(page: Page, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    page.get_by_role("link", name="View Contact Lists").first.click()
    page.get_by_role("link", name="New Contact List").click()
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("List Bounce Email").fill("bounce@example.com")
    page.get_by_label("Bounce Email Server Name").fill(f"localhost:{dovecot.imaps_port}")
    page.get_by_label("Bounce Email User Name").fill(mailbox.user)
    page.get_by_label("Bounce Email Password").fill(mailbox.password)
    page.get_by_label("Account Type").select_option("IMAP")
    page.get_by_text("More settings").click()
    page.get_by_label("Fetch every so many minutes").fill("0")
    page.get_by_label("Certificate authority").fill(dovecot.ca_file.read_text())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("weekly is saved.")).to_be_visible()


def find_bounces(page: Page, name: str = "") -> None:
    """Steps 1 to 9 of the article."""
    page.get_by_role("link", name="Process Bounced Emails").first.click()
    page.get_by_role("radio", name="weekly").check()
    if name:
        picture(page, f"{name}-1-pick")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Process bounces manually").check()
    if name:
        picture(page, f"{name}-2-server")
    page.get_by_role("button", name="Test Connection and Continue").click()
    if name:
        picture(page, f"{name}-3-find")
    page.get_by_role("button", name="Find Bounces").click()


def test_found_looked_at_and_applied(
    console: Console,
    log_in: LogIn,
    dovecot: DovecotServer,
    mailbox: Mailbox,
    redis_url: str,
) -> None:
    for mail in (bounce_of(Send("gone@example.net", 1, *UNKNOWN)), bounce_of(Send("full@example.net", 2, *FULL))):
        mailbox.deliver(mail)
    mailbox.deliver(HUMAN_MAIL)
    page = log_in(console)
    configure(page, dovecot, mailbox)
    find_bounces(page, "process")

    expect(page.get_by_role("heading", name="What to do?")).to_be_visible(timeout=60_000)
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="gone@example.net")).to_contain_text("hard")
    expect(rows.filter(has_text="full@example.net")).to_contain_text("soft")
    picture(page, "process-4-what-to-do")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.smembers(SUPPRESSED_KEY) == set(), "nothing counts before somebody says so"
        assert len(mailbox.mails()) == 3, "and nothing leaves the mailbox"
        page.get_by_label("Why").fill("looked at both")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("Finished.")).to_be_visible()
        picture(page, "process-5-finished")
        eventually(lambda: client.smembers(SUPPRESSED_KEY) == {"gone@example.net"}, "the address to be marked")
    eventually(lambda: len(mailbox.mails()) == 1, "the recognised bounces to leave the mailbox", timeout_s=90)

    page.get_by_role("link", name="gone@example.net").click()
    expect(page.locator(".answer")).to_have_text("Do not mail")
    page.get_by_role("link", name="Runs").first.click()
    expect(page.get_by_role("row").filter(has_text="applied")).to_have_count(1)
    picture(page, "runs")
    page.get_by_role("row").filter(has_text="applied").get_by_role("link").click()
    expect(page.locator(".tile").filter(has_text="hard")).to_contain_text("1")  # also of mails that left the mailbox


def test_dropped_nothing_counts_and_every_mail_stays(
    console: Console,
    log_in: LogIn,
    dovecot: DovecotServer,
    mailbox: Mailbox,
) -> None:
    mailbox.deliver(bounce_of(Send("gone@example.net", 1, *UNKNOWN)))
    page = log_in(console)
    configure(page, dovecot, mailbox)
    find_bounces(page)
    expect(page.get_by_role("heading", name="What to do?")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("Dropped.")).to_be_visible()
    assert console.backing.suppressions.are_suppressed(["gone@example.net"]) == [False]
    assert len(mailbox.mails()) == 1
