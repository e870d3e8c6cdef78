"""SASL XOAUTH2, and the sentences by which servers say that passwords are over."""

import pytest

from services.fetcher.xoauth2 import (
    Challenge,
    initial_response,
    methods_of_pop3,
    read_challenge,
    takes_no_password,
)


def test_the_response_is_the_one_that_google_and_microsoft_document() -> None:
    assert initial_response("someuser@example.com", "ya29.token") == (
        b"user=someuser@example.com\x01auth=Bearer ya29.token\x01\x01"
    )


@pytest.mark.parametrize(
    ("challenge", "read"),
    [
        (
            b'{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}',
            ("401", "https://mail.google.com/"),
        ),
        (b'{"status":400}', ("400", "")),
        (b'{"status":["x"],"scope":null}', ("", "")),
        (b'{"status":"4\\u001b[31m"}', ("4[31m", "")),
        (b"[" * 100_000, ("", "")),
        (b"[1]", ("", "")),
        (b"\xff", ("", "")),
        (b"", ("", "")),
    ],
    ids=str,
)
def test_a_challenge_says_what_it_says_and_breaks_nothing(challenge: bytes, read: tuple[str, str]) -> None:
    assert read_challenge(challenge) == Challenge(*read)


def test_capabilities_of_pop3_read_as_those_of_imap() -> None:
    assert methods_of_pop3(b"TOP\r\nSASL PLAIN XOAUTH2\r\nUSER\r\n") == {"AUTH=PLAIN", "AUTH=XOAUTH2"}
    assert methods_of_pop3(b"TOP\r\nsasl xoauth2\r\n") == {"AUTH=XOAUTH2", "LOGINDISABLED"}


PASSWORDS_ARE_OVER = [
    ("mail.example.net", "", {"LOGINDISABLED", "AUTH=XOAUTH2"}),
    ("mail.example.net", "", {"LOGINDISABLED", "AUTH=OAUTHBEARER", "AUTH=GSSAPI"}),
    ("outlook.office365.com", "LOGIN failed.", {"AUTH=PLAIN", "AUTH=XOAUTH2"}),
    ("OUTLOOK.OFFICE365.COM", "Logon failure: unknown user name or bad password.", set()),
    ("imap-mail.outlook.com", "LOGIN failed.", set()),
    ("mail.example.net", "5.7.139 Authentication unsuccessful, basic authentication is disabled.", set()),
    ("mail.example.net", 'LOGIN failed. Error="AuthFailed:LogonDenied-BasicAuthBlocked-"', set()),
    ("imap.gmail.com", "[ALERT] Application-specific password required: https://support.example/1 (Failure)", set()),
    ("imap.gmail.com", "[WEBALERT https://accounts.example/x] Web login required.", set()),
    ("imap.gmail.com", "[ALERT] Please log in via your web browser: https://support.example (Failure)", set()),
]

PASSWORDS_ARE_TAKEN = [
    ("mail.example.net", "[AUTHENTICATIONFAILED] Authentication failed.", {"AUTH=PLAIN", "AUTH=XOAUTH2"}),
    ("mail.example.net", "", {"LOGINDISABLED", "AUTH=PLAIN", "AUTH=XOAUTH2"}),
    ("mail.example.net", "", {"LOGINDISABLED", "STARTTLS"}),
    ("mail.example.net", "", set()),
    ("notoutlook.com", "LOGIN failed.", set()),
    ("imap.gmail.com", "[AUTHENTICATIONFAILED] Invalid credentials (Failure)", {"AUTH=XOAUTH2", "AUTH=PLAIN"}),
]


@pytest.mark.parametrize(("host", "said", "methods"), PASSWORDS_ARE_OVER)
def test_passwords_are_over(host: str, said: str, methods: set[str]) -> None:
    assert takes_no_password(host, said, methods)


@pytest.mark.parametrize(("host", "said", "methods"), PASSWORDS_ARE_TAKEN)
def test_a_password_was_wrong(host: str, said: str, methods: set[str]) -> None:
    assert not takes_no_password(host, said, methods)
