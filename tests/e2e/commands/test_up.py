"""`mailroom up`: everything in one process, from a mailbox to the answer for senders, with and without servers."""

import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from shared.tables import connect, upgrade
from tests.e2e.commands.conftest import MAILROOM
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.integration.scheduler.accounts import add_run, change_account
from tests.servers.dovecot import Mailbox
from tests.servers.waiting import eventually

Running = tuple[subprocess.Popen[str], str]
"""The process, and the link that it printed."""


class Place:
    """A folder in which a person works, and the variables that are set there."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MAILROOM, *arguments],
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @contextmanager
    def up(self) -> Iterator[Running]:
        command = [MAILROOM, "up", "--port", "0"]
        with (self.folder / "up.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            assert link.startswith("http://127.0.0.1:"), (self.folder / "up.log").read_text()
            with process.stdout:
                yield process, link
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            assert "Traceback" not in (self.folder / "up.log").read_text()
        finally:
            process.kill()
            process.wait()

    def add_account(self, mailbox: Mailbox) -> str:
        server = mailbox.server
        added = self.run(
            *("lists", "add", "weekly", "--bounce-email", "bounce@example.org", "--user", mailbox.user),
            *("--server", f"localhost:{server.pop3s_port}", "--tls", "implicit", "--ca", str(server.ca_file)),
            MAILROOM_PASSWORD=mailbox.password,
            MAILROOM_SECRET_KEY_FILE=str(self.folder / "mailroom.key"),
        )
        assert added.returncode == 0, added.stderr
        return "weekly"

    @property
    def database_url(self) -> str:
        return self.environment.get("MAILROOM_DATABASE_URL", f"sqlite:///{self.folder / 'mailroom.db'}")

    def is_suppressed(self, address: str) -> bool:
        return self.run("check", address).returncode == 1


@pytest.fixture
def laptop(tmp_path: Path, environment: dict[str, str]) -> Place:
    return Place(tmp_path, {**environment, "MAILROOM_SCHEDULER_PASS_S": "0.2"})


@pytest.fixture
def server(laptop: Place, amqp_url: str, database_url: str, redis_url: str) -> Place:
    laptop.environment |= {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
    }
    engine = connect(database_url)
    upgrade(engine)
    engine.dispose()
    return laptop


def browser() -> Callable[[str], tuple[str, str]]:
    """Opens an address, as one who keeps cookies: where it ended, and the page."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def look(url: str) -> tuple[str, str]:
        with opener.open(url, timeout=30) as answer:
            return answer.url, answer.read().decode()

    return look


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["laptop", "server"])
def test_from_a_mailbox_to_the_answer_for_senders(kind: str, request: pytest.FixtureRequest, mailbox: Mailbox) -> None:
    place: Place = request.getfixturevalue(kind)
    mailbox.deliver(bounce_of(Send("gone@example.net", 1, *UNKNOWN)))
    mailbox.deliver(bounce_of(Send("full@example.net", 2, *FULL)))
    mailbox.deliver(HUMAN_MAIL)
    with place.up() as (_, link):
        account = place.add_account(mailbox)
        engine = connect(place.database_url)
        change_account(engine, account, interval_s=2)  # the shortest that a person can choose is a minute
        engine.dispose()
        eventually(lambda: place.is_suppressed("gone@example.net"), "the address to be marked", timeout_s=60)
        assert not place.is_suppressed("full@example.net")
        eventually(lambda: len(mailbox.mails()) == 1, "the bounces to leave the mailbox", timeout_s=60)
        look = browser()
        ended, page = look(link)
        assert ended.endswith("/")
        assert "Dashboard" in page
        assert "gone@example.net" in look(f"{ended}addresses/of?address=gone@example.net")[1]


def test_the_link_is_good_once_and_the_key_is_kept(laptop: Place) -> None:
    with laptop.up() as (_, link):
        with urllib.request.urlopen(urllib.request.Request(link, method="HEAD"), timeout=10) as looked:
            assert looked.status == 200, "whoever looks whether it is there uses nothing up"
        assert "Dashboard" in browser()(link)[1]
        ended, page = browser()(link)
        assert ended.endswith("/login")
        assert "That link was used" in page
        assert browser()(link[:-1] + "_")[0].endswith("/login")
    key = laptop.folder / "mailroom.key"
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_text()
    with laptop.up() as (_, link):
        assert "Dashboard" in browser()(link)[1]
    assert key.read_text() == before


@pytest.mark.timeout(120)
def test_what_was_being_fetched_is_gone_on_with(laptop: Place, mailbox: Mailbox) -> None:
    with laptop.up():
        account = laptop.add_account(mailbox)
    engine = connect(laptop.database_url)
    change_account(engine, account, interval_s=0)  # nobody else asks for it
    add_run(engine, "run-1", account)
    engine.dispose()
    mailbox.deliver(bounce_of(Send("gone@example.net", 1, *UNKNOWN)))
    with laptop.up():
        eventually(lambda: laptop.is_suppressed("gone@example.net"), "the run to be gone on with", timeout_s=60)


def test_a_port_that_is_taken(laptop: Place) -> None:
    with laptop.up() as (_, link):
        port = link.split(":")[2].split("/")[0]
        refused = laptop.run("up", "--port", port)
    assert refused.returncode == 2
    assert f"nothing can listen on 127.0.0.1 port {port}: " in refused.stderr
    assert "Traceback" not in refused.stderr
