"""A mail that ends its parser costs itself alone."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.classifier.ports import LethalMail
from services.classifier.sandbox import ParserUnavailable, Sandbox

REPORT = b"""\
From: MAILER-DAEMON@mx.example.com
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; gone@example.net
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

--b--
"""
KILLS = b"Subject: kill the parser\n\n"
HANGS = b"Subject: hang the parser\n\n"
HOARDS = b"Subject: eat all memory\n\n"
DEAFENS = b"Subject: deafen the parser\n\n"
PARKED = REPORT.replace(b"5.1.1 User unknown", b"mailbox parked")
PARKED_RULE = """[[rule]]
id = "parked"
reason = "suspend"
server = "ours"
phrases = ["mailbox parked"]
examples = ["550 mailbox parked"]
"""
LARGE = REPORT + b"\n" * 2**20
"""More than a pipe holds."""

HARMFUL = """
import os, signal, time
import services.classifier.judge as module
from services.classifier import framing
judge = module.judge
def harmful(raw, rulebook):
    if raw.startswith(b"Subject: kill"): os.kill(os.getpid(), signal.SIGKILL)
    if raw.startswith(b"Subject: hang"): time.sleep(3600)
    if raw.startswith(b"Subject: eat"): hoard = b"x" * (1 << 40)
    return judge(raw, rulebook)
module.judge = harmful
read_frame = framing.read_frame
def deaf(stream):
    frame = read_frame(stream)
    if frame and frame.startswith(b"Subject: deafen"): time.sleep(3600)
    return frame
framing.read_frame = deaf
"""


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The real sandbox, whose child has a judge that some mails are lethal to."""
    (tmp_path / "sitecustomize.py").write_text(HARMFUL)
    monkeypatch.syspath_prepend(str(tmp_path))
    sandbox = Sandbox(mail_timeout_s=2.0)
    yield sandbox
    sandbox.close()


def parsers() -> list[int]:
    """The processes of parsers that this one runs."""
    running = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if (
                int(parent) == os.getpid()
                and state != "Z"
                and b"classifier.child" in (process / "cmdline").read_bytes()
            ):
                running.append(int(process.name))
    return running


@pytest.mark.parametrize(
    ("lethal", "reason"),
    [
        (KILLS, "1024 MiB of memory"),
        (HANGS, "more than 2 s"),
        (HOARDS, "1024 MiB of memory"),
    ],
)
def test_a_lethal_mail_is_named_and_its_neighbours_are_judged(sandbox: Sandbox, lethal: bytes, reason: str) -> None:
    first, second, third, fourth = sandbox.judge([REPORT, lethal, REPORT, b"Subject: hello\n\nworld\n"])
    assert isinstance(second, LethalMail)
    assert reason in str(second)
    assert isinstance(first, dict)
    assert isinstance(fourth, dict)
    assert (first["kind"], first["verdict"]) == ("bounce", "hard")
    assert third == first
    assert fourth["kind"] == "not-bounce"


def test_a_parser_that_was_killed_between_two_batches_is_replaced(sandbox: Sandbox) -> None:
    sandbox.judge([REPORT])
    os.kill(parsers()[0], signal.SIGKILL)
    (judgement,) = sandbox.judge([REPORT])
    assert isinstance(judgement, dict)
    assert judgement["outcomes"][0]["recipient"] == "gone@example.net"


def test_a_parser_that_cannot_be_started_is_no_mails_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for no_parser in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr("sys.executable", no_parser)
        with pytest.raises(ParserUnavailable):
            Sandbox().judge([REPORT])


def test_an_error_of_our_own_in_mid_batch_gives_no_mail_the_answer_of_another(sandbox: Sandbox) -> None:
    reports = [REPORT.replace(b"gone@", b"gone%d@" % number) for number in range(3)]

    class Broken(list):  # type: ignore[type-arg]
        def append(self, _: object) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        sandbox._judge_batch(reports, Broken())
    for number, judgement in enumerate(sandbox.judge(reports)):
        assert isinstance(judgement, dict)
        assert judgement["outcomes"][0]["recipient"] == f"gone{number}@example.net"


def test_a_parser_that_stops_reading_its_mails_is_ended_like_one_that_hangs(sandbox: Sandbox) -> None:
    first, second, third = sandbox.judge([REPORT, DEAFENS, LARGE])
    assert isinstance(first, dict)
    assert isinstance(second, LethalMail)
    assert "more than 2 s" in str(second)
    assert isinstance(third, dict)


def test_a_parser_that_is_frozen_before_it_reads_is_replaced(sandbox: Sandbox) -> None:
    sandbox.judge([REPORT])
    os.kill(parsers()[0], signal.SIGSTOP)
    (judgement,) = sandbox.judge([LARGE])
    assert isinstance(judgement, dict)
    assert len(parsers()) == 1


def test_new_rules_come_with_a_new_parser_that_is_up_before_the_old_one_ends(sandbox: Sandbox) -> None:
    sandbox.judge([PARKED])
    (old,) = parsers()
    sandbox.take_rules({"own.toml": PARKED_RULE})
    (new,) = parsers()
    assert new != old
    (judgement,) = sandbox.judge([PARKED])
    assert isinstance(judgement, dict)
    assert judgement["outcomes"][0]["rule"] == "parked"
    assert parsers() == [new]


def test_where_no_parser_starts_with_the_new_rules_the_old_one_goes_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.take_rules({"own.toml": PARKED_RULE})
    running = parsers()
    with pytest.raises(ParserUnavailable):
        sandbox.take_rules({"own.toml": "[[rule]]"})
    for no_parser in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr("sys.executable", no_parser)
        with pytest.raises(ParserUnavailable):
            sandbox.take_rules({})
    (judgement,) = sandbox.judge([PARKED])
    assert isinstance(judgement, dict)
    assert judgement["outcomes"][0]["rule"] == "parked"
    assert parsers() == running
