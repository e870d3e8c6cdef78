"""`mailroom policy`: shown, changed with a why, every address judged anew."""

import json
from collections.abc import Callable

import pytest

from tests.e2e.commands.conftest import ROOT, Ran

Run = Callable[..., Ran]


@pytest.fixture
def suppressed(mailroom: Run) -> Callable[[], set[str]]:
    """The sample mailbox processed; who is suppressed by it, whenever asked."""
    assert mailroom("process", ROOT / "samples").returncode == 0

    def ask() -> set[str]:
        rows = mailroom("export").stdout.splitlines()[1:]
        return {row.split(",")[0] for row in rows}

    return ask


def test_a_limit_is_lowered_and_raised_again(mailroom: Run, suppressed: Callable[[], set[str]]) -> None:
    before = suppressed()
    lowered = mailroom("policy", "--soft-limit", "1", "--why", "a try")
    assert (lowered.returncode, "addresses stand otherwise" in lowered.stderr) == (0, True)
    assert suppressed() > before
    raised = mailroom("policy", "--soft-limit", "5", "--why", "tried")
    assert raised.stdout.startswith("version 3")
    assert suppressed() == before


def test_who_was_suppressed_by_it_may_not_be_mailed(mailroom: Run, suppressed: Callable[[], set[str]]) -> None:
    before = suppressed()
    mailroom("policy", "--soft-limit", "1", "--why", "a try")
    (one, *_) = sorted(suppressed() - before)
    checked = mailroom("check", one, "--json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout)[0]["state"] == "bounced"


def test_a_change_without_why_is_refused(mailroom: Run, suppressed: Callable[[], set[str]]) -> None:
    refused = mailroom("policy", "--complaints", "suppress")
    assert refused.returncode == 2
    assert "--why" in refused.stderr
    assert mailroom("policy").stdout.startswith("version 1")
