"""Find bounces, look at them, then let them count or not: as a person does it on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from services.cli import main
from shared.suppressions import SUPPRESSED_KEY
from shared.tables import connect, upgrade
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import services
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.waiting import eventually

pytestmark = pytest.mark.timeout(240)


class Desk:
    """A person's command line beside running services."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._runner = CliRunner(env=environment)

    def run(self, *arguments: str) -> Result:
        told = self._runner.invoke(main, list(arguments))
        assert told.exit_code == 0, told.output
        return told

    def said(self, run_id: str) -> dict[str, str]:
        lines = self.run("runs", "show", run_id, "--json").stdout.splitlines()
        return {one["recipient"]: one["verdict"] for one in map(json.loads, lines)}

    def find_bounces(self) -> str:
        told = self.run("fetch", "--hold", "weekly")
        assert told.stderr.count("database: ") == 1
        return told.stdout.split("as run ")[1].split(",")[0]


@pytest.fixture
def desk(
    tmp_path: Path, amqp_url: str, database_url: str, redis_url: str, dovecot: DovecotServer, mailbox: Mailbox
) -> Iterator[Desk]:
    (tmp_path / "accounts.toml").write_text(
        f"""
        [accounts.weekly]
        protocol = "imap"
        host = "{dovecot.host}"
        port = {dovecot.imap_port}
        user = "{mailbox.user}"
        password = "{mailbox.password}"
        tls = "starttls"
        ca_file = "{dovecot.ca_file}"
        """
    )
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_ACCOUNTS_FILE": str(tmp_path / "accounts.toml"),
    }
    engine = connect(database_url)
    upgrade(engine)
    engine.dispose()
    with services(environment, tmp_path) as running:
        for service in ("fetcher", "classifier", "ledger"):
            running.start(service)
        yield Desk(environment)
        assert running.stop_all() == [0, 0, 0]


def test_found_looked_at_and_applied_or_dropped(desk: Desk, redis_url: str, mailbox: Mailbox) -> None:
    for mail in (bounce_of(Send("gone@example.net", 1, *UNKNOWN)), bounce_of(Send("full@example.net", 2, *FULL))):
        mailbox.deliver(mail)
    mailbox.deliver(HUMAN_MAIL)
    brought = {"gone@example.net": "hard", "full@example.net": "soft"}
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        first = desk.find_bounces()
        eventually(lambda: desk.said(first) == brought, "the run to be read", timeout_s=60)
        assert desk.run("runs", "drop", first).stderr.endswith("is dropped\n")
        assert desk.run("runs", "drop", first).stderr.endswith("was dropped before; nothing is to be done\n")

        second = desk.find_bounces()
        eventually(lambda: desk.said(second) == brought, "what was dropped to be found again", timeout_s=60)
        assert client.smembers(SUPPRESSED_KEY) == set()
        assert len(mailbox.mails()) == 3
        desk.run("runs", "apply", second)
        assert client.smembers(SUPPRESSED_KEY) == {"gone@example.net"}

        desk.run("fetch", "weekly")
        eventually(lambda: len(mailbox.mails()) == 1, "the mailbox to be emptied of its bounces", timeout_s=60)
    assert b"jane-1@example.org" in mailbox.mails()[0]
