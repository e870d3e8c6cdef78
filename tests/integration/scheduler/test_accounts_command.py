"""`mailroom accounts`: what a person, and a monitor, sees of each bounce account."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, insert

from services.cli import main
from services.fetcher.ports import FoundMail, Listed, Place
from services.fetcher.store_sql import SqlCheckpoint
from shared.tables.fetcher import lease
from shared.tables.ledger import HELD, dead_letter, hold, raw_run
from tests.integration.fetcher.ledger import LONG_AGO, Ledger
from tests.integration.scheduler.accounts import HOUR, add_accounts, add_run, change_account, let_pass

IDS = [f"{number:064x}" for number in range(20)]
ADVICE = "mail.example.org refused the login of weekly: check the password"
NONE = dict.fromkeys(("hard", "soft", "unidentified", "ignored", "duplicate", "dead_lettered", "waiting", "unread"), 0)


def now() -> datetime:
    """Of each test: the others may take long."""
    return datetime.now(UTC)


@pytest.fixture
def shown(url: str, engine: Engine) -> Callable[..., Result]:
    """Runs it over the test's database."""

    def run(*arguments: str, **variables: str) -> Result:
        unset = {name: None for name in os.environ if name.startswith("MAILROOM_")}
        environment = {**unset, "MAILROOM_DATABASE_URL": url, **variables}
        return CliRunner().invoke(main, ["accounts", *arguments], prog_name="mailroom", env=environment)

    return run


def status(shown: Callable[..., Result], *arguments: str) -> dict[str, dict[str, Any]]:
    ran = shown("--json", *arguments)
    assert ran.exit_code in (0, 1), ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    return {row["account"]: row for row in rows}


def bury(engine: Engine, name: str, run_id: str, *, state: str = "dead", letter_id: str = "") -> None:
    letter = {
        "letter_id": letter_id or name,
        "queue": "classifier.raw",
        "reason": "x",
        "state": state,
        "attempts": 1,
        "first_failed_at": LONG_AGO,
        "last_failed_at": LONG_AGO,
        "raw_id": name,
        "run_id": run_id,
        "content_type": "message/rfc822",
        "type": "",
        "headers": "{}",
        "body": b"",
    }
    with engine.begin() as connection:
        connection.execute(insert(dead_letter), letter)


def test_every_mail_is_in_one_count(engine: Engine, shown: Callable[..., Result]) -> None:
    add_accounts(engine, ["shop", "weekly"])
    store, ledger = SqlCheckpoint(engine), Ledger(engine)
    place = Place("weekly", "", 0)
    for run_id, account in (("long-ago", "weekly"), ("run-1", "weekly"), ("run-2", "shop")):
        add_run(engine, run_id, account, finished_at=now())
        if run_id == "long-ago":
            let_pass(engine, timedelta(days=40))
    ledger.record([IDS[0]], "bounce", "hard", run_id="long-ago")
    ledger.record(IDS[1:4], "bounce", "hard", run_id="run-1")
    ledger.record(IDS[4:6], "bounce", "soft", run_id="run-1")
    ledger.record([IDS[6]], "bounce", "unidentified", run_id="run-1")
    ledger.record([IDS[7]], "vacation", "ignore", run_id="run-1")
    ledger.record([IDS[8]], "bounce", "hard", run_id="run-2")
    ledger.record([IDS[9]], "bounce", "hard")
    with engine.begin() as connection:
        rows = [{"raw_id": name, "run_id": "run-1", "recorded_at": now()} for name in IDS[8:10]]
        connection.execute(insert(raw_run), rows)
    bury(engine, IDS[10], "run-1")
    bury(engine, IDS[10], "run-1", letter_id="the same mail on another queue")
    bury(engine, IDS[11], "run-1", state="discarded")
    bury(engine, IDS[12], "run-1", state="replayed")
    bury(engine, IDS[1], "run-1")
    store.add(place, "run-1", [FoundMail(name, name, 100, False) for name in IDS[1:14]], now())
    store.count_failure(place, "run-1", Listed("broken", 100), "cannot be read", now())

    month = {
        "hard": 3,
        "soft": 2,
        "unidentified": 1,
        "ignored": 1,
        "duplicate": 2,
        "dead_lettered": 2,
        "waiting": 2,
        "unread": 1,
    }
    seen = status(shown)
    assert seen["weekly"]["mails"] == month
    assert seen["shop"]["mails"] == {**NONE, "hard": 1}
    assert status(shown, "--days", "0")["weekly"]["mails"] == {**month, "hard": 4}
    assert list(status(shown, "shop")) == ["shop"]


def test_a_table_for_people(engine: Engine, shown: Callable[..., Result]) -> None:
    assert "There are no bounce accounts." in shown().stdout
    add_accounts(engine, ["brandnew", "paused", "shop", "weekly"], 2 * HOUR)
    change_account(engine, "paused", is_active=False)
    add_run(engine, "run-1", "shop", finished_at=now())
    add_run(engine, "run-2", "weekly", finished_at=now())
    let_pass(engine, 2.5 * HOUR)
    add_run(engine, "run-3", "weekly", last_error=ADVICE + "\x1b[31m")
    with engine.begin() as connection:
        connection.execute(insert(lease), {"account": "shop", "holder": "x", "until": now() + timedelta(minutes=4)})
    ran = shown()
    assert ran.exit_code == 0
    lines = {line.split("  ")[0]: line for line in ran.stdout.splitlines()}
    assert "not fetched yet" in lines["brandnew"]
    assert " never " in lines["brandnew"]
    assert lines["paused"].count("paused") == 2
    for word in ("working", "2 hours", "2 hours ago"):
        assert word in lines["shop"]
    assert "failing" in lines["weekly"]
    assert f"weekly: {ADVICE}\\x1b[31m" in ran.stdout


def test_a_held_pass_has_come_to_its_end_when_the_mailbox_is_read(engine: Engine, shown: Callable[..., Result]) -> None:
    add_accounts(engine, ["shop", "weekly"])
    for account in ("shop", "weekly"):
        add_run(engine, f"run-{account}", account, fetched_at=now())
    with engine.begin() as connection:
        connection.execute(insert(hold), {"run_id": "run-weekly", "state": HELD, "held_at": now()})
    assert {name: one["condition"] for name, one in status(shown).items()} == {
        "shop": "not fetched yet",
        "weekly": "well",
    }


def test_an_alert_names_what_has_been_silent_or_failing_for_too_long(
    engine: Engine, shown: Callable[..., Result]
) -> None:
    add_accounts(engine, ["asked", "new", "shop", "weekly"])
    change_account(engine, "asked", interval_s=0)
    for name in ("asked", "shop", "weekly"):
        add_run(engine, f"run-1-{name}", name, finished_at=now())
    let_pass(engine, 3 * HOUR)
    add_run(engine, "run-2", "weekly", last_error=ADVICE)

    ran = shown("--alert")
    assert (ran.exit_code, ran.stdout) == (0, ""), "four intervals are not over"
    ran = shown("--alert", "--after", "120")
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [
        "new is silent: last fetched never, last tried never",
        "shop is silent: last fetched 3 hours ago, last tried 3 hours ago",
        f"weekly is failing: last fetched 3 hours ago, last tried just now: {ADVICE}",
    ]
    assert shown("--alert", MAILROOM_SILENT_AFTER_MINUTES="120").exit_code == 1
    let_pass(engine, 2 * HOUR)
    assert shown("--alert").exit_code == 1
    assert [name for name, row in status(shown, "--alert").items() if row["alert"]] == ["new", "shop", "weekly"]
    add_run(engine, "run-3", "weekly", finished_at=now())
    assert shown("--alert", "weekly").exit_code == 0


def test_a_run_that_was_turned_away_for_another_is_no_failure(engine: Engine, shown: Callable[..., Result]) -> None:
    add_accounts(engine, ["weekly"])
    add_run(engine, "run-1", "weekly")
    let_pass(engine, timedelta(minutes=2))
    add_run(engine, "run-2", "weekly", last_error="another fetcher was working this mailbox")
    let_pass(engine, timedelta(minutes=2))
    assert status(shown)["weekly"]["condition"] == "failing"
    SqlCheckpoint(engine).mark_finished("run-1", datetime.now(UTC))
    seen = status(shown)["weekly"]
    assert (seen["condition"], seen["last_error"]) == ("well", None)
    add_run(engine, "run-3", "weekly", last_error=ADVICE)
    seen = status(shown)["weekly"]
    assert (seen["condition"], seen["last_error"]) == ("failing", ADVICE)
    SqlCheckpoint(engine).mark_finished("run-3", datetime.now(UTC))
    seen = status(shown)["weekly"]
    assert (seen["condition"], seen["last_error"]) == ("well", ADVICE), "what could not be cleaned"


def test_what_it_cannot_do_it_says(shown: Callable[..., Result]) -> None:
    ran = shown("nowhere")
    assert ran.exit_code == 2
    assert "there is no account 'nowhere'" in ran.stderr
    assert shown(MAILROOM_SILENT_AFTER_MINUTES="soon").exit_code == 2
    assert shown(MAILROOM_DATABASE_URL="sqlite:////nowhere/mailroom.db").exit_code == 2
