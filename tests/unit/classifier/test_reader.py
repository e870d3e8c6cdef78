"""The bounded reader agrees with the standard library wherever that one reads a mail right."""

import email
import email.message
import email.policy
from pathlib import Path

import pytest

from services.classifier.reader import Part, read

MAILS = sorted((Path(__file__).parent / "mails").glob("*.eml"))


def leaves(part: Part) -> list[Part]:
    return [leaf for child in part.parts for leaf in leaves(child)] if part.parts else [part]


def their_leaves(part: email.message.Message) -> list[email.message.Message]:
    """The standard library takes each group of a delivery-status for a message of its own: those are no parts."""
    kind = part.get_content_type()
    if not part.is_multipart() or (kind.startswith("message/") and kind != "message/rfc822"):
        return [part]
    children = part.get_payload()
    assert isinstance(children, list)
    return [leaf for child in children if isinstance(child, email.message.Message) for leaf in their_leaves(child)]


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_the_same_parts_as_the_standard_library(path: Path) -> None:
    raw = path.read_bytes()
    theirs = their_leaves(email.message_from_bytes(raw))
    ours = leaves(read(raw).root)
    assert [part.content_type for part in ours] == [part.get_content_type() for part in theirs]
    for our, their in zip(ours, theirs, strict=True):
        if not their.is_multipart() and our.content_type.startswith("text/"):
            payload = their.get_payload(decode=True)
            assert isinstance(payload, bytes)
            text = payload.decode(their.get_content_charset() or "utf-8", "replace")
            assert our.text.split() == text.split()


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_the_same_headers_as_the_standard_library(path: Path) -> None:
    raw = path.read_bytes()
    theirs = email.message_from_bytes(raw, policy=email.policy.compat32)
    ours = read(raw).root.headers
    for name in ("From", "To", "Subject", "Message-ID", "Content-Type"):
        value = theirs.get(name)
        assert " ".join(ours.first(name.lower()).split()) == " ".join(str(value or "").split())


def test_text_is_decoded() -> None:
    raw = b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nM=FCller =\nsoft\n"
    assert read(raw).root.text == "Müller soft\n"


def test_an_undeclared_charset_is_utf_8_or_latin_1() -> None:
    assert read(b"A: b\n\nM\xc3\xbcller").root.text == "Müller"
    assert read(b"A: b\n\nM\xfcller").root.text == "Müller"


def test_headers_are_found_folded_spaced_and_encoded() -> None:
    headers = read(b"SUBJECT : =?utf-8?q?Unzustellbar=3A?=\n =?utf-8?b?IE5hY2hyaWNodA==?=\nX: 1\nX: 2\n\n").root.headers
    assert headers.decoded("subject") == "Unzustellbar: Nachricht"
    assert headers.all("x") == ["1", "2"]


def test_a_boundary_that_never_occurs_is_guessed() -> None:
    raw = b"Content-Type: multipart/report; boundary=lost\n\n--found\nContent-Type: text/plain\n\nhello\n--found--\n"
    assert [part.text for part in read(raw).root.parts] == ["hello"]


def test_a_boundary_that_begins_like_the_outer_one_is_the_inner_one() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b2\n\n"
        b"--b2\n\ninner\n--b2--\n--b\n\nouter\n--b--\n"
    )
    root = read(raw).root
    assert [part.content_type for part in root.parts] == ["multipart/alternative", "text/plain"]
    assert root.parts[0].parts[0].text == "inner"
