"""The sample mailbox: every mail gives what samples/expected.toml says, and nothing in it is real."""

import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from services.classifier.explain import explain
from services.classifier.judge import judge
from services.fetcher.mailbox_files import read_path

SAMPLES = Path(__file__).parents[2] / "samples"
EXPECTED = tomllib.loads((SAMPLES / "expected.toml").read_text("utf-8"))
ROWS: dict[str, dict[str, Any]] = {row["file"]: row for row in EXPECTED["mail"]}
MAILS = {
    found.name.removeprefix(f"{SAMPLES}/"): found.raw
    for source in (SAMPLES / "mails", SAMPLES / "more.mbox")
    for found in read_path(source)
}
SOFT_LIMIT = 5

_ADDRESS = re.compile(rb"[^\s<>@,;:\"'()\[\]=/]@([A-Za-z0-9\x80-\xff.-]*[A-Za-z0-9\x80-\xff])")
_EXAMPLE_DOMAIN = re.compile(rb"(?:.*\.)?(?:example(?:\.(?:com|net|org))?|test)", re.IGNORECASE | re.DOTALL)
_IP = re.compile(rb"\[(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\]")
_EXAMPLE_IP = re.compile(rb"(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d+|127\.0\.0\.1")
_JAPANESE = re.compile(rb"\x1b\$B.*?\x1b\(B")  # ISO-2022-JP, where an @ is half a character


@pytest.mark.parametrize("file", list(MAILS))
def test_every_sample_is_explained_to_its_end(file: str) -> None:
    sections = dict(explain(MAILS[file]))
    assert list(sections)[-1] == "result"
    recipients = [name for name in sections if name.startswith("recipient")]
    assert len(recipients) == len(judge(MAILS[file]).outcomes)


@pytest.mark.parametrize("file", list(ROWS))
def test_sample(file: str) -> None:
    row = ROWS[file]
    judgement = judge(MAILS[file])

    assert (str(judgement.kind), str(judgement.verdict)) == (row["kind"], row["verdict"])
    # An outcome without a recipient counts for no address: the row has none then.
    outcomes = {outcome.recipient: outcome for outcome in judgement.outcomes if outcome.recipient}
    assert {
        recipient: (str(outcome.verdict), outcome.reason, outcome.status) for recipient, outcome in outcomes.items()
    } == {each["address"]: (each["verdict"], each["reason"], each.get("status")) for each in row["recipients"]}
    for each in row["recipients"]:
        assert (outcomes[each["address"]].action == "delayed") == (each.get("action") == "delayed")
        if "final" in each:
            assert outcomes[each["address"]].final_recipient == each["final"]
    if "campaign" in row:
        assert judgement.campaign == row["campaign"]


def test_every_mail_has_a_row_and_every_row_a_mail() -> None:
    assert sorted(MAILS) == sorted(ROWS)
    assert len(EXPECTED["mail"]) == len(ROWS)


def test_totals_follow_from_the_rows() -> None:
    counts = dict.fromkeys(("hard", "soft", "unidentified", "ignored", "duplicate", "dead_lettered"), 0)
    for row in ROWS.values():
        counts["duplicate" if "duplicate_of" in row else row["verdict"].replace("ignore", "ignored")] += 1

    assert {name: EXPECTED["totals"][name] for name in counts} == counts
    assert EXPECTED["totals"]["found"] == sum(counts.values())


def test_suppressed_are_the_hard_and_those_with_five_soft_sends() -> None:
    suppressed: set[str] = set()
    sends: dict[str, set[str]] = defaultdict(set)
    for file, row in ROWS.items():
        events = {outcome.recipient: outcome.event_id for outcome in judge(MAILS[file]).outcomes}
        for each in row["recipients"]:
            if each["verdict"] == "hard":
                suppressed.add(each["address"])
            elif each["verdict"] == "soft" and each.get("action") != "delayed":
                sends[each["address"]].add(events[each["address"]])
    suppressed |= {address for address, events in sends.items() if len(events) >= SOFT_LIMIT}

    assert len(sends["busy.reader@example.net"]) == SOFT_LIMIT
    assert len(sends["patient.reader@example.org"]) == SOFT_LIMIT - 1
    assert sorted(suppressed) == EXPECTED["totals"]["newly_suppressed"]


def test_a_duplicate_is_one() -> None:
    for file, row in ROWS.items():
        if "duplicate_of" in row:
            assert MAILS[file].rstrip(b"\n") == MAILS[row["duplicate_of"]].rstrip(b"\n")


def test_line_ends_survived() -> None:
    """A checkout that changes line ends takes the point from the broken mails (samples/.gitattributes)."""
    assert b"\n" not in MAILS["mails/broken_cr_only.eml"]
    assert b"\x00" in MAILS["mails/broken_nul_bytes.eml"]
    assert b"\r\n" in MAILS["mails/gmail_address_not_found.eml"]
    assert b"\n>From last year" in (SAMPLES / "more.mbox").read_bytes()


@pytest.mark.parametrize(
    "file", sorted(path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*") if path.is_file())
)
def test_nothing_in_it_is_real(file: str) -> None:
    text = _JAPANESE.sub(b"", (SAMPLES / file).read_bytes())

    assert [domain for domain in _ADDRESS.findall(text) if not _EXAMPLE_DOMAIN.fullmatch(domain)] == []
    assert [ip for ip in _IP.findall(text) if not _EXAMPLE_IP.fullmatch(ip)] == []
    assert b"/home/" not in text
