"""What every command does alike: errors that begin alike, and output that is read to its middle only."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands.conftest import MAILROOM, ROOT, Ran

MAILS = ROOT / "tests/unit/classifier/mails"


@pytest.mark.parametrize(
    "arguments",
    [
        ["rules", "list", "--json"],
        ["rules", "list"],
        ["classify", str(MAILS), "--json"],
        ["classify", str(MAILS)],
        ["explain", str(MAILS)],
        ["process", str(MAILS), "--json"],
        ["process", str(MAILS)],
        ["filter"],
        ["export"],
        ["history", "anna.berg@example.org"],
        ["rules", "--help"],
    ],
    ids=" ".join,
)
def test_output_that_nobody_reads_ends_it_quietly(
    arguments: list[str], environment: dict[str, str], tmp_path: Path, mailroom: Callable[..., Ran]
) -> None:
    if arguments[0] in ("filter", "export", "history"):
        mailroom("process", ROOT / "samples/mails/postfix_user_unknown.eml")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        ran = subprocess.run(
            [MAILROOM, *arguments],
            cwd=tmp_path, env=environment, input="email\njane@example.org\n", stdout=output, stderr=subprocess.PIPE,
            text=True, timeout=60,
        )  # fmt: skip
    assert ran.returncode == 141
    told = [
        line
        for line in ran.stderr.splitlines()
        if not line.startswith("database: ") and "rows printed" not in line and not line.endswith(" addresses")
    ]
    assert told == []


def test_output_that_cannot_be_written_is_an_error(environment: dict[str, str], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [MAILROOM, "rules", "list", "--json"],
            cwd=tmp_path, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (2, "mailroom: the output: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["--nosuch"], "No such option '--nosuch'"),
        (["rules", "chek"], "No such command 'chek'"),
        (["classify"], "Missing argument"),
        (["dead", "replay"], "say which letters"),
        (["explain", "x", "--number", "0"], "Invalid value for '--number'"),
    ],
)
def test_errors_of_usage_begin_as_all_others(quick: Callable[..., Ran], arguments: list[str], error: str) -> None:
    ran = quick(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("Usage: ")
    assert ran.stderr.splitlines()[-1].startswith(f"mailroom: {error}")


def test_without_a_command_help_is_shown(quick: Callable[..., Ran]) -> None:
    ran = quick()
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (2, "Usage: mailroom [OPTIONS] COMMAND [ARGS]...")
    assert "mailroom: " not in ran.stderr
    assert quick("--help").returncode == quick("--version").returncode == 0


def test_an_interrupted_command_says_so(
    mailroom: Callable[..., Ran], environment: dict[str, str], tmp_path: Path
) -> None:
    mailroom("process", ROOT / "samples/mails/postfix_user_unknown.eml")
    with subprocess.Popen(
        [MAILROOM, "filter"], cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("database: ")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().splitlines()[-1] == "mailroom: interrupted"
    assert process.returncode == 130


def test_a_database_that_is_away_is_told_in_one_line(quick: Callable[..., Ran]) -> None:
    ran = quick("lists", MAILROOM_DATABASE_URL="postgresql://mailroom@127.0.0.1:1/mailroom")
    where, refused = ran.stderr.splitlines()
    assert where == "database: postgresql://mailroom@127.0.0.1:1/mailroom"
    assert refused.startswith("mailroom: the database does not answer: ")
    assert "\\t" not in refused


def test_migrating_says_what_it_did(quick: Callable[..., Ran]) -> None:
    migrate = ("migrate", "--database", "sqlite:///new.db")
    first = quick(*migrate).stderr
    assert first.startswith("the schema was empty, and is ")
    assert quick(*migrate).stderr == f"the schema is up to date: {first.split()[-2]}\n"
