"""`mailroom rules`: lists that fit, errors with their place, and what to do about a rule that does not decide."""

import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands.conftest import MAILROOM, Ran

RULE = """[[rule]]
id = "{id}"
reason = "{reason}"
server = "ours"
priority = {priority}
phrases = ["{phrase}"]
examples = ["{example}"]
"""


def rule(
    id: str = "ours",
    reason: str = "suspend",
    priority: int = 50,
    phrase: str = "mailbox parked",
    example: str = "550 mailbox parked",
) -> str:
    return RULE.format(id=id, reason=reason, priority=priority, phrase=phrase, example=example)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    return tmp_path / "rules"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_list_is_readable_in_a_narrow_terminal(folder: Path, environment: dict[str, str], width: int) -> None:
    server = "Exchange: the entry of the recipient is broken, or two share the address"
    (folder / "ours.toml").write_text(
        rule(id="microsoft-directory-fault", priority=200).replace('"ours"', f'"{server}"')
    )
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [MAILROOM, "rules", "list", str(folder)],
        env={**environment, "COLUMNS": str(width), "TERM": "xterm"}, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    finally:
        os.close(master)
    assert process.wait() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert " ".join(" ".join(lines).split()).startswith(
        f"200 microsoft-directory-fault suspend, hard {server} ours.toml (in place of the shipped one) "
    )


def test_errors_name_file_and_line_and_begin_alike(quick: Callable[..., Ran], folder: Path) -> None:
    (folder / "a.toml").write_text(rule() + rule(reason="suspendid"))
    (folder / "b.toml").write_text("\n" + rule(reason="nosuch"))
    for command in (["check"], ["test"], ["list"]):
        ran = quick("rules", *command, folder)
        assert ran.returncode == 2
        lines = ran.stderr.splitlines()
        assert lines[0].startswith("mailroom: a.toml:8: rule 'ours': unknown reason 'suspendid'")
        assert lines[1].startswith("mailroom: b.toml:2: rule 'ours': unknown reason 'nosuch'")
        assert all(line.startswith("mailroom: ") for line in lines)


def test_two_rules_of_one_name_are_told_with_both_places(quick: Callable[..., Ran], folder: Path) -> None:
    (folder / "a.toml").write_text(rule())
    (folder / "b.toml").write_text("\n" + rule())
    ran = quick("rules", "check", folder)
    assert ran.returncode == 2
    assert "mailroom: b.toml:2: rule 'ours': a.toml:1 has a rule of that name, too\n" in ran.stderr


def test_an_empty_folder_is_told(quick: Callable[..., Ran], folder: Path) -> None:
    for command in ("check", "test", "list"):
        ran = quick("rules", command, folder)
        assert ran.returncode == 0
        assert ran.stderr == f"mailroom: {folder} holds no .toml file: the shipped rules alone are meant\n"
    tried = quick("rules", "try", "550 parked", MAILROOM_RULES_DIR=str(folder))
    assert "holds no .toml file" in tried.stderr


def test_a_wrong_example_is_told_with_file_and_line(quick: Callable[..., Ran], folder: Path) -> None:
    (folder / "ours.toml").write_text("\n" + rule(example="550 quite other words"))
    ran = quick("rules", "test", folder)
    assert ran.returncode == 1
    assert "ours.toml:2: rule 'ours' must decide '550 quite other words'" in ran.stdout
    assert "its words are not in '550 quite other words'" in ran.stdout


SHADOWED = rule(phrase="no such user", example="550 5.1.1 no such user here", reason="policy-violation", priority=40)


def test_a_shadowed_rule_is_told_which_one_decides_and_what_to_do(quick: Callable[..., Ran], folder: Path) -> None:
    (folder / "ours.toml").write_text(SHADOWED)
    for ran in (
        quick("rules", "test", folder),
        quick("rules", "try", "550 5.1.1 no such user here", MAILROOM_RULES_DIR=str(folder)),
    ):
        advice = next(line for line in ran.stdout.splitlines() if "outranks ours" in line)
        assert advice.strip().startswith("unknown-user")
        assert "(priority 40)" in advice
    needed = int(advice.rpartition("priority = ")[2].split()[0])
    (folder / "ours.toml").write_text(SHADOWED.replace("priority = 40", f"priority = {needed}"))
    ran = quick("rules", "test", folder)
    assert ran.returncode == 0
    assert re.search(r" 0 wrong, shipped examples with another answer: [1-9]\d*$", ran.stdout)
    (folder / "ours.toml").write_text(SHADOWED.replace("priority = 40", f"priority = {needed - 1}"))
    assert quick("rules", "test", folder).returncode == 1


def test_a_rule_that_a_veto_silences_is_told_so(quick: Callable[..., Ran], folder: Path) -> None:
    text = "550 mailbox parked: sender address rejected, domain not found"
    (folder / "ours.toml").write_text(rule(example=text, priority=79))
    ran = quick("rules", "test", folder)
    assert ran.returncode == 1
    assert "is a veto: it silences hard rules below priority 80" in ran.stdout
    (folder / "ours.toml").write_text(rule(example=text, priority=80))
    assert quick("rules", "test", folder).returncode == 0


def test_a_rule_of_other_hosts_is_told_how_to_be_tried(quick: Callable[..., Ran], folder: Path) -> None:
    (folder / "ours.toml").write_text(rule() + 'remote = ["acme.example"]\n')
    ran = quick("rules", "try", "550 mailbox parked", MAILROOM_RULES_DIR=str(folder))
    assert ran.returncode == 0
    assert "ours speaks of acme.example only: try it with --remote acme.example" in ran.stdout
