"""FETCH answers of many servers' spellings: read quickly or by the library, they say the same."""

import pytest

from services.fetcher.errors import MailUnreadable
from services.fetcher.imap_answers import Answers, read_listing, read_mails
from services.fetcher.ports import Fetched, Listed
from shared.identity import READ_LIMIT_BYTES

DATE = b'"17-Jul-2026 02:44:25 -0700"'
BODY = b"Subject: (UID 9)\r\n\r\nbody\r\n"


def before(text: bytes, size: int = len(BODY)) -> bytes:
    return b"12 (" + text + b" BODY[]<0> {%d}" % size


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(before(b"UID 5 INTERNALDATE " + DATE), BODY), b")"], id="dovecot"),
        pytest.param([(before(b"UID 5 INTERNALDATE " + DATE + b" FLAGS (\\Seen)"), BODY), b")"], id="flags before"),
        pytest.param([(before(b"INTERNALDATE " + DATE), BODY), b" UID 5)"], id="uid at the end"),
        pytest.param([(before(b"UID 5"), BODY), b" INTERNALDATE " + DATE + b" FLAGS (\\Seen))"], id="date at the end"),
        pytest.param(
            [b"3 (FLAGS (\\Deleted))", (before(b"UID 5 INTERNALDATE " + DATE), BODY), b")"],
            id="about another before it",
        ),
        pytest.param(
            [(before(b"UID 5 INTERNALDATE " + DATE), BODY), b")", b"3 (UID 7 FLAGS ())"], id="about another after it"
        ),
    ],
)
def test_a_mail_however_it_is_told(answers: Answers) -> None:
    reading = read_mails(answers)["5"]
    assert isinstance(reading, Fetched)
    assert reading.raw == BODY
    assert reading.received_at is not None
    assert reading.received_at.isoformat() == "2026-07-17T09:44:25+00:00"
    assert not reading.truncated


def test_several_mails_each_under_its_own_uid() -> None:
    answers: list[bytes | tuple[bytes, bytes] | None] = []
    for uid in (7, 5, 6):
        body = b"mail %d\r\n" % uid
        answers += [(before(b"UID %d INTERNALDATE " % uid + DATE, len(body)), body), b")"]
    readings = read_mails(answers)
    assert {uid: mail.raw for uid, mail in readings.items() if isinstance(mail, Fetched)} == {
        "5": b"mail 5\r\n",
        "6": b"mail 6\r\n",
        "7": b"mail 7\r\n",
    }


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(before(b"UID 5 INTERNALDATE " + DATE, 2), b"\r\n"), b")"], id="an empty mail"),
        pytest.param([b"12 (UID 5 BODY[]<0> NIL)"], id="no body"),
        pytest.param([b"12 (UID 5 FLAGS ())"], id="something else"),
    ],
)
def test_a_mail_that_is_not_given(answers: Answers) -> None:
    assert isinstance(read_mails(answers)["5"], MailUnreadable)


def test_a_short_body_may_stand_in_quotes() -> None:
    reading = read_mails([b'12 (UID 5 BODY[]<0> "short")'])["5"]
    assert isinstance(reading, Fetched)
    assert (reading.raw, reading.received_at) == (b"short", None)


def test_one_byte_too_much_is_cut() -> None:
    body = b"x" * (READ_LIMIT_BYTES + 1)
    reading = read_mails([(before(b"UID 5 INTERNALDATE " + DATE, len(body)), body), b")"])["5"]
    assert isinstance(reading, Fetched)
    assert (reading.raw, reading.truncated) == (body[:-1], True)


def test_a_listing() -> None:
    answers = [b"1 (UID 5 RFC822.SIZE 10)", b"2 (RFC822.SIZE 20 UID 6)", b"3 (FLAGS ())", None, b"4 (UID 9)"]
    assert read_listing(answers) == [Listed("5", 10), Listed("6", 20), Listed("9", 0)]
