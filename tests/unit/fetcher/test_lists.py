"""Lists and accounts: what may stand in them, when two are one mailbox, and which ways auto detect tries."""

from dataclasses import replace

import pytest

from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.lists import (
    BounceAccount,
    ContactList,
    Way,
    account_name,
    check_account,
    check_list,
    read_server,
    ways,
)
from shared.errors import MailroomError

POP3 = BounceAccount("news", Protocol.POP3, "pop.example.com", 995, Tls.IMPLICIT, "bounce@example.com")
IMAP = replace(POP3, protocol=Protocol.IMAP, port=993, folder="INBOX")


@pytest.mark.parametrize(
    ("protocol", "port", "tls", "tried"),
    [
        (Protocol.POP3, None, None, [Way(995, Tls.IMPLICIT), Way(110, Tls.STARTTLS)]),
        (Protocol.IMAP, None, None, [Way(993, Tls.IMPLICIT), Way(143, Tls.STARTTLS)]),
        (Protocol.POP3, 995, None, [Way(995, Tls.IMPLICIT)]),
        (Protocol.POP3, 110, None, [Way(110, Tls.STARTTLS)]),
        (Protocol.POP3, 993, None, [Way(993, Tls.IMPLICIT)]),
        (Protocol.IMAP, 143, None, [Way(143, Tls.STARTTLS)]),
        (Protocol.IMAP, 2993, None, [Way(2993, Tls.IMPLICIT), Way(2993, Tls.STARTTLS)]),
        (Protocol.POP3, None, Tls.IMPLICIT, [Way(995, Tls.IMPLICIT)]),
        (Protocol.POP3, None, Tls.STARTTLS, [Way(110, Tls.STARTTLS)]),
        (Protocol.IMAP, None, Tls.NONE, [Way(143, Tls.NONE)]),
        (Protocol.IMAP, 993, Tls.STARTTLS, [Way(993, Tls.STARTTLS)]),
    ],
)
def test_ways(protocol: Protocol, port: int | None, tls: Tls | None, tried: list[Way]) -> None:
    assert ways(protocol, port, tls) == tried


def test_auto_detect_never_tries_a_connection_without_tls() -> None:
    for protocol in Protocol:
        for port in (None, *range(1, 65536)):
            assert all(way.tls != Tls.NONE for way in ways(protocol, port))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("pop.example.com", ("pop.example.com", None)),
        (" pop.example.com:2995 ", ("pop.example.com", 2995)),
        ("pop.example.com.", ("pop.example.com", None)),
        ("192.0.2.1:995", ("192.0.2.1", 995)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:993", ("2001:db8::1", 993)),
        ("bücher.example", ("xn--bcher-kva.example", None)),
    ],
)
def test_servers(text: str, server: tuple[str, int | None]) -> None:
    assert read_server(text) == server


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":995",
        "a b",
        "pop.example.com:",
        "h:0",
        "h:65536",
        "h:x",
        "h:٣",
        "h:99999999999999999999",
        "[::1",
        "[::1]995",
        "h\r\nQUIT",
        "h\0",
        "fe80::1%eth0",
        "http://h/",
        "user@h",
        "☃" * 80,
        "h" * 254,
    ],
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(MailroomError):
        read_server(text)


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (replace(POP3, name="other", empty="all", interval_s=0), True),
        (replace(POP3, host="POP.Example.Com", port=110, tls=Tls.STARTTLS), True),
        (IMAP, True),
        (replace(IMAP, folder="inbox"), True),
        (replace(IMAP, folder="Bounces"), False),
        (replace(POP3, user="Bounce@example.com"), False),
        (replace(POP3, host="imap.example.com"), False),
    ],
)
def test_the_same_mailbox(other: BounceAccount, is_same: bool) -> None:
    assert (other.mailbox == POP3.mailbox) is is_same


def test_a_name_that_ever_was_an_accounts_is_not_used_again() -> None:
    assert account_name("news", {"other"}.__contains__) == "news"
    assert account_name("news", {"news", "news-2"}.__contains__) == "news-3"


def test_a_secret_is_meant_for_one_server_and_user() -> None:
    others = (
        {"host": "evil.example"},
        {"user": "x"},
        {"port": 110},
        {"tls": Tls.NONE},
        {"ca_pem": "another authority"},
        {"protocol": Protocol.IMAP},
    )
    purposes = {POP3.secret_purpose} | {replace(POP3, **other).secret_purpose for other in others}  # type: ignore[arg-type]
    assert len(purposes) == len(others) + 1
    assert replace(POP3, empty="all", interval_s=60, is_active=False).secret_purpose == POP3.secret_purpose


@pytest.mark.parametrize(
    "change",
    [
        {"user": ""},
        {"user": "a\r\nQUIT"},
        {"user": "a\0"},
        {"user": "u" * 321},
        {"user": "a\x1b[2J"},
        {"folder": "INBOX"},
        {"empty": "move:Done"},
        {"empty": "some"},
        {"empty": ""},
        {"ca_pem": "no certificate"},
    ],
)
def test_what_an_account_may_not_hold(change: dict[str, str]) -> None:
    check_account(POP3)
    with pytest.raises(MailroomError):
        check_account(replace(POP3, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"folder": ""},
        {"folder": "a\r\nb"},
        {"folder": "f" * 256},
        {"empty": "move:a\nb"},
        {"folder": "INBOX", "empty": "move:inbox"},
        {"folder": "Bounces", "empty": "move:Bounces"},
    ],
)
def test_what_an_account_by_imap_may_not_hold(change: dict[str, str]) -> None:
    check_account(replace(IMAP, empty="move:Done"))
    with pytest.raises(MailroomError):
        check_account(replace(IMAP, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "one",
    [
        ContactList("", "b@example.com"),
        ContactList("-x", "b@example.com"),
        ContactList("a b", "b@example.com"),
        ContactList("x" * 65, "b@example.com"),
        ContactList("news", "no address"),
        ContactList("news", "b@example.com", "a\nb"),
        ContactList("news", "b@example.com", "t" * 256),
    ],
)
def test_what_a_list_may_not_hold(one: ContactList) -> None:
    check_list(ContactList("Weekly.2026_news-1", "b@example.com", "The weekly, für alle"))
    with pytest.raises(MailroomError):
        check_list(one)
