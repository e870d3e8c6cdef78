"""`mailroom explain`: every message of a file, or the one that was asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands.conftest import ROOT, Ran

MBOX = ROOT / "samples/more.mbox"
MAIL = ROOT / "samples/mails/postfix_user_unknown.eml"


def heads(ran: Ran) -> list[str]:
    """The messages that were explained."""
    return [line for line in ran.stdout.splitlines() if line.startswith(str(ROOT))]


def test_each_message_of_an_mbox_is_shown_under_its_name(quick: Callable[..., Ran]) -> None:
    ran = quick("explain", MBOX)
    assert ran.returncode == 0
    count = MBOX.read_bytes().count(b"\nFrom ") + 1
    assert heads(ran) == [f"{MBOX}#{number}" for number in range(1, count + 1)]
    assert ran.stdout.count("\nresult\n") == count


def test_one_message_is_chosen_by_its_number(quick: Callable[..., Ran]) -> None:
    ran = quick("explain", MBOX, "--number", "2")
    assert (ran.returncode, heads(ran)) == (0, [f"{MBOX}#2"])
    assert heads(quick("explain", MAIL, "--number", "1")) == [str(MAIL)]


def test_a_number_that_is_not_there_is_an_error(quick: Callable[..., Ran]) -> None:
    ran = quick("explain", MAIL, "--number", "2")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"mailroom: {MAIL} holds 1 message, and so no number 2\n"


@pytest.mark.parametrize("source", ["nosuch", "imaps://joe@mail.example.org"])
def test_what_cannot_be_read_is_told_as_classify_does(
    quick: Callable[..., Ran], mailroom: Callable[..., Ran], source: str
) -> None:
    explained, classified = quick("explain", source), mailroom("classify", source)
    assert explained.returncode == classified.returncode == 2
    assert explained.stdout == classified.stdout == ""
    assert explained.stderr == classified.stderr.replace("classify", "explain")
    assert explained.stderr.startswith("mailroom: ")


def test_a_folder_without_messages_is_told(quick: Callable[..., Ran], tmp_path: Path) -> None:
    ran = quick("explain", tmp_path)
    assert (ran.returncode, ran.stderr) == (2, f"mailroom: {tmp_path} holds no message\n")
