"""The same mail has the same id, however it was stored; another mail has another."""

import itertools

import pytest

from shared.identity import READ_LIMIT_BYTES, canonical_bytes, cut, event_id, raw_id

MAIL = b"Received: by mx\r\n\tfor you\r\nSubject: Undelivered\r\nX-Other: 1\r\n\r\nNo such user\r\nStatus: 5.1.1\r\n"
LF = MAIL.replace(b"\r\n", b"\n")

SAME = {
    "LF": LF,
    "an mbox line": b"From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n" + LF,
    "an mbox line with CRLF": b"From MAILER-DAEMON Sun Mar  1 12:00:00 2026\r\n" + MAIL,
    "a quoted mbox line": b">From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n" + LF,
    "trailing newlines": MAIL + b"\r\n\r\n",
    "no last newline": LF.rstrip(),
    "Status first": b"Status: RO\n" + LF,
    "Status last": LF.replace(b"X-Other: 1\n", b"X-Other: 1\nStatus: RO\nX-Status: A\n"),
    "X-UIDL": LF.replace(b"Subject", b"X-UIDL: 00000123\nSubject"),
    "x-uidl in lower case": LF.replace(b"Subject", b"x-uidl: 00000123\nSubject"),
    "X-Keywords, folded": LF.replace(b"Subject", b"X-Keywords: one\n two\n\tthree\nSubject"),
    "X-IMAP and X-IMAPbase": b"X-IMAPbase: 1 2\nX-IMAP: 3\n" + LF,
    "all of it": b"From x\r\nStatus: O\r\nX-UIDL: 1\r\n" + MAIL + b"\r\n",
}

OTHER = {
    "the mail": MAIL,
    "another subject": LF.replace(b"Undelivered", b"undelivered"),
    "another body": LF.replace(b"No such", b"No such "),
    "no Status in the body": LF.replace(b"Status: 5.1.1\n", b""),
    "another Status in the body": LF.replace(b"Status: 5.1.1", b"Status: 4.1.1"),
    "a header more": b"X-Statuses: RO\n" + LF,
    "a From header": b"From: MAILER-DAEMON\n" + LF,
    "another order": LF.replace(b"Subject: Undelivered\nX-Other: 1\n", b"X-Other: 1\nSubject: Undelivered\n"),
    "an empty line before": b"\n" + LF,
    "a From line in the body": LF + b"\nFrom here on\n",
    "the headers only": LF.split(b"\n\n")[0],
    "nothing": b"",
    "a body only, with a Status": b"\nStatus: RO\n\nx",
    "a body only, without": b"\n\nx",
    "bare carriage returns": LF.replace(b"\n", b"\r"),
    "NUL": LF + b"\x00",
}


@pytest.mark.parametrize("stored", SAME)
def test_how_it_was_stored_does_not_matter(stored: str) -> None:
    assert canonical_bytes(SAME[stored]) == canonical_bytes(MAIL)
    assert raw_id(SAME[stored]) == raw_id(MAIL)


@pytest.mark.parametrize(("one", "another"), list(itertools.combinations(OTHER, 2)))
def test_other_mails_are_others(one: str, another: str) -> None:
    assert raw_id(OTHER[one]) != raw_id(OTHER[another])


@pytest.mark.parametrize("mail", [*SAME.values(), *OTHER.values()])
def test_the_canonical_form_is_its_own(mail: bytes) -> None:
    assert canonical_bytes(canonical_bytes(mail)) == canonical_bytes(mail)


def test_a_mail_of_headers_only_without_a_last_newline() -> None:
    assert canonical_bytes(b"Subject: x\nStatus: RO") == b"Subject: x"


def test_ids_are_64_hexadecimal_digits() -> None:
    assert len(bytes.fromhex(raw_id(b""))) == len(bytes.fromhex(event_id("a"))) == 32


def test_parts_of_an_event_id_cannot_be_shifted() -> None:
    ids = [
        event_id(*parts) for parts in (("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ("1:a", "bc"), ("é", "\ud800"))
    ]
    assert len(set(ids)) == len(ids)
    assert event_id("a", "bc") == ids[0]


def test_cutting() -> None:
    assert cut(b"x" * READ_LIMIT_BYTES) == (b"x" * READ_LIMIT_BYTES, False)
    assert cut(b"x" * (READ_LIMIT_BYTES + 1)) == (b"x" * READ_LIMIT_BYTES, True)
