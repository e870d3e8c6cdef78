"""Replies of servers: one row a reply (replies/*.tsv), judged as the diagnostic of a plain delivery report."""

from pathlib import Path

import pytest

from tests.accuracy.replies import judge_reply, read_rows

ROWS = [row for file in sorted((Path(__file__).parent / "replies").glob("*.tsv")) for row in read_rows(file)]


@pytest.mark.parametrize(("verdict", "reasons", "host", "reply"), ROWS, ids=[row[3][:50] for row in ROWS])
def test_reply(verdict: str, reasons: str, host: str, reply: str) -> None:
    got, reason = judge_reply(reply, host)
    assert (got, reason) == (verdict, reason if reason in reasons.split("|") else reasons)


def test_a_row_without_its_four_columns_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "acme.tsv").write_text("# acme\nhard\tsuspend\t-\t550 parked\nhard\tsuspend\t550 parked\n")
    with pytest.raises(ValueError, match=r"acme\.tsv:3: 3 columns"):
        read_rows(tmp_path / "acme.tsv")
