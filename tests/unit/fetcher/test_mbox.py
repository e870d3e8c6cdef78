"""Where a mail of an mbox begins and ends."""

import io
from datetime import UTC, datetime

import pytest

from services.fetcher.mbox import read_from_date, split_mbox
from shared.identity import READ_LIMIT_BYTES

FROM_ = b"From MAILER-DAEMON Mon Jan  1 10:00:00 2024\n"


def split(content: bytes) -> list[bytes]:
    return [mail.raw for mail in split_mbox(io.BytesIO(content))]


def test_mails_are_cut_at_their_from_lines() -> None:
    content = FROM_ + b"Subject: 1\n\none\n\n" + FROM_ + b"Subject: 2\n\ntwo\n"
    assert split(content) == [b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\n"]


@pytest.mark.parametrize(
    "line",
    [
        b"From the beginning, nobody read this.",
        b"From here Mon Jan 1 is a holiday",
        b"Fromage Mon Jan  1 10:00:00 2024",
    ],
)
def test_a_sentence_begins_no_mail(line: bytes) -> None:
    mail = b"Subject: 1\n\none\n\n" + line + b"\nmore\n"
    assert split(FROM_ + mail) == [mail]


def test_a_from_line_in_the_middle_of_a_paragraph_begins_no_mail() -> None:
    mail = b"Subject: 1\n\none\n" + FROM_ + b"more\n"
    assert split(FROM_ + mail) == [mail]


def test_one_mark_of_quotation_is_taken_from_bodies_only() -> None:
    content = FROM_ + b"Subject: 1\n>From a header\n\n>From a\n>>From b\n> From c\n"
    assert split(content) == [b"Subject: 1\n>From a header\n\nFrom a\n>From b\n> From c\n"]


def test_line_ends_of_dos_are_kept() -> None:
    content = (FROM_ + b"Subject: 1\n\none\n\n" + FROM_ + b"Subject: 2\n\ntwo\n").replace(b"\n", b"\r\n")
    assert split(content) == [b"Subject: 1\r\n\r\none\r\n", b"Subject: 2\r\n\r\ntwo\r\n"]


def test_an_empty_mbox_has_no_mail() -> None:
    assert split(b"") == []


def test_a_from_line_alone_is_an_empty_mail() -> None:
    assert split(FROM_) == [b""]


def test_a_long_line_is_one_line() -> None:
    long = b"x" * 65_536 + b"From MAILER-DAEMON Mon Jan  1 10:00:00 2024"
    mail = b"Subject: 1\n\n" + long + b"\n"
    assert split(FROM_ + mail) == [mail]


@pytest.mark.parametrize(("length", "truncated"), [(READ_LIMIT_BYTES, False), (READ_LIMIT_BYTES + 1, True)])
def test_a_large_mail_is_cut_and_the_next_is_found(length: int, truncated: bool) -> None:
    large = b"Subject: 1\n\n"
    large += b"x" * (length - len(large) - 1) + b"\n"
    first, second = split_mbox(io.BytesIO(FROM_ + large + b"\n" + FROM_ + b"Subject: 2\n\ntwo\n"))
    assert (first.raw, first.truncated) == (large[:READ_LIMIT_BYTES], truncated)
    assert second.raw == b"Subject: 2\n\ntwo\n"


@pytest.mark.parametrize(
    ("line", "instant"),
    [
        (b"From a@b.example Mon Jan  1 10:00:00 2024", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        (b"From a@b.example Mon Jan  1 10:00 2024\r\n", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        (b"From a@b.example Mon Jan  1 10:00:00 +0200 2024", datetime(2024, 1, 1, 8, tzinfo=UTC)),
        (b"From a@b.example Mon Jan  1 10:00:00 2024 -0130", datetime(2024, 1, 1, 11, 30, tzinfo=UTC)),
        (b"From a@b.example Mon Jan  1 10:00:00 CET 2024", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        (b"From a@b.example Mon Feb 31 10:00:00 2024", None),
        (b"From a@b.example Mon Jan  1 10:00:00 2024 +9999", None),
        (b"From a@b.example Mon Jan  1 00:30:00 0001 +0100", None),
        (b"From a@b.example", None),
    ],
)
def test_the_date_of_a_from_line(line: bytes, instant: datetime | None) -> None:
    assert read_from_date(line) == instant
