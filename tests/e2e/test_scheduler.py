"""Mails are fetched without a human asking; an outage is waited out; and people are told when it no longer works."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from shared.secrets import new_key
from shared.tables import connect, upgrade
from shared.tables.fetcher import bounce_account
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import services
from tests.integration.bus.test_broker import read_all
from tests.integration.scheduler.accounts import add_accounts, change_account, let_pass
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.waiting import eventually

QUICK = {"MAILROOM_SCHEDULER_PASS_S": "0.2", "MAILROOM_SCHEDULER_WATCH_S": "0.2"}


def mailroom(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mailroom"), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "scheduler.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.timeout(240)
def test_a_mail_is_fetched_without_a_human_asking(
    tmp_path: Path, amqp_url: str, database_url: str, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    engine = connect(database_url)
    upgrade(engine)
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_SECRET_KEY": new_key(),
        **QUICK,
    }
    added = mailroom(
        *("lists", "add", "weekly", "--bounce-email", "bounce@example.org", "--type", "pop3", "--tls", "implicit"),
        *("--server", f"{dovecot.host}:{dovecot.pop3s_port}", "--user", mailbox.user, "--ca", str(dovecot.ca_file)),
        environment={**environment, "MAILROOM_PASSWORD": mailbox.password},
    )
    assert added.returncode == 0, added.stderr
    with engine.connect() as connection:
        account = connection.execute(select(bounce_account.c.name)).scalar_one()
    change_account(engine, account, interval_s=2)  # the shortest that a person can choose is a minute

    def status() -> dict[str, Any]:
        shown = mailroom("accounts", "weekly", "--json", environment=environment)
        assert shown.returncode == 0, shown.stderr
        (line,) = shown.stdout.splitlines()
        read: dict[str, Any] = json.loads(line)
        return read

    assert status()["condition"] == "not fetched yet"
    with services(environment, tmp_path) as running:
        mailbox.deliver(bounce_of(Send("gone@example.net", 1, *UNKNOWN)))
        mailbox.deliver(HUMAN_MAIL)
        for service in ("fetcher", "classifier", "ledger", "scheduler"):
            running.start(service)
        eventually(lambda: len(mailbox.mails()) == 1, "the first bounce to be fetched and removed", timeout_s=90)
        mailbox.deliver(bounce_of(Send("full@example.net", 2, *FULL)))
        eventually(lambda: len(mailbox.mails()) == 1, "the second, too", timeout_s=90)
        eventually(lambda: status()["mails"]["soft"] == 1, "the second to be counted")
        counts = status()["mails"]
        assert running.stop_all() == [0, 0, 0, 0]
    assert (counts["hard"], counts["soft"], counts["ignored"], counts["waiting"]) == (1, 1, 1, 0)
    assert mailroom("accounts", "--alert", environment=environment).returncode == 0

    let_pass(engine, timedelta(hours=3))
    assert status()["last_fetched_at"] is not None
    told = mailroom("accounts", "--alert", environment=environment)
    assert told.returncode == 1
    assert told.stdout.startswith(f"{account} is silent: last fetched 3 hours ago")
    with services(environment, tmp_path) as running:
        running.start("scheduler")
        eventually(lambda: [line for line in log_of(tmp_path) if line["event"] == "account_silent"], "it to be told of")
        running.start("fetcher")
        eventually(lambda: [line for line in log_of(tmp_path) if line["event"] == "account_well_again"], timeout_s=60)
        running.stop_all()
    assert [line["account"] for line in log_of(tmp_path) if line["level"] == "error"] == [account], "told once"

    assert mailroom("lists", "edit", "weekly", "--pause", environment=environment).returncode == 0
    assert status()["condition"] == "paused"
    engine.dispose()


@pytest.mark.stops_server
@pytest.mark.timeout(240)
def test_an_outage_is_waited_out(
    tmp_path: Path, rabbitmq: RabbitMQServer, amqp_url: str, postgresql: PostgreSQLServer, database_url: str
) -> None:
    engine = connect(database_url)
    upgrade(engine)
    environment = {"MAILROOM_AMQP_URL": amqp_url, "MAILROOM_DATABASE_URL": database_url, **QUICK}

    def said(event: str) -> list[dict[str, Any]]:
        return [line for line in log_of(tmp_path) if line["event"] == event]

    add_accounts(engine, ["weekly"], timedelta(seconds=1))
    with services(environment, tmp_path) as running:
        postgresql.stop()
        running.start("scheduler")
        eventually(lambda: len(said("waiting_for_a_server")) == 1, "it to say so", timeout_s=60)
        postgresql.start()
        eventually(lambda: said("accounts_asked_for"), "the first request", timeout_s=60)
        eventually(lambda: len(said("servers_are_back")) == 1)
        rabbitmq.stop()
        eventually(lambda: "RabbitMQ" in said("waiting_for_a_server")[-1]["cause"], "it to say so", timeout_s=60)
        rabbitmq.start()
        eventually(lambda: len(said("servers_are_back")) == 2, timeout_s=60)
        before = len(said("accounts_asked_for"))
        eventually(lambda: len(said("accounts_asked_for")) > before, "requests again", timeout_s=60)
        assert running.stop_all() == [0]
    assert len(read_all(amqp_url)) >= len(said("accounts_asked_for"))
    engine.dispose()


def test_settings_that_are_missing_are_all_named(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAILROOM_")}
    command = [str(Path(sys.executable).parent / "mailroom"), "scheduler"]
    variables = {**clean, "MAILROOM_SILENT_AFTER_MINUTES": "soon"}
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    for name in ("MAILROOM_AMQP_URL", "MAILROOM_DATABASE_URL", "MAILROOM_SILENT_AFTER_MINUTES"):
        assert name in ran.stderr
