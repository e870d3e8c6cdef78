"""Logins with an access token, to the real mail server and to scripted ones."""

import base64
import json
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.fetcher.accounts import Account
from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import (
    ConnectionLost,
    LoginRefused,
    MailboxError,
    NotEncrypted,
    PasswordLoginGone,
    TokenRefused,
)
from services.fetcher.handler import open_account
from services.fetcher.login import Login, PasswordLogin, TokenLogin
from tests.integration.fetcher.conftest import IMAP, POP3, Way, account_of
from tests.integration.fetcher.scripted import Script, Session, serving
from tests.servers import certificates
from tests.servers.dovecot import Mailbox

MAIL = b"Subject: bounce\r\n\r\nbody\r\n"
ERROR = base64.b64encode(json.dumps({"status": "400", "schemes": "bearer", "scope": "https://mail.example/"}).encode())


@dataclass
class Tokens:
    """What a token source gives, in turn; the last one again and again."""

    tokens: list[str]
    asked: int = 0
    refused: list[str] = field(default_factory=list)

    def token(self, account: str) -> str:
        self.asked += 1
        return self.tokens[0]

    def renew(self, account: str, refused: str) -> bool:
        self.refused.append(refused)
        if len(self.tokens) > 1:
            self.tokens.pop(0)
            return True
        return False


def with_login(account: Account, login: Login) -> Account:
    return replace(account, login=login)


def listed(account: Account) -> int:
    with open_account(account)(False) as mailbox:
        count = len(list(mailbox.listing()))
        mailbox.logout()
        return count


def test_a_token_opens_the_mailbox(mailbox: Mailbox, way: Way) -> None:
    mailbox.deliver(MAIL)
    tokens = Tokens([mailbox.server.token(mailbox.user)])
    assert listed(with_login(account_of(mailbox, way), TokenLogin(mailbox.user, "news", tokens))) == 1
    assert tokens.refused == []


def test_a_token_of_any_length_opens_the_mailbox(mailbox: Mailbox, way: Way) -> None:
    """Tokens of Microsoft have 1,500 to 3,000 characters, far more than a POP3 command may have."""
    mailbox.deliver(MAIL)
    token = mailbox.server.token(mailbox.user, claims={"groups": "g" * 2000})
    assert len(token) > 2500
    assert listed(with_login(account_of(mailbox, way), TokenLogin(mailbox.user, "news", Tokens([token])))) == 1


def test_a_refused_token_is_renewed_once(mailbox: Mailbox, way: Way) -> None:
    mailbox.deliver(MAIL)
    expired, good = mailbox.server.token(mailbox.user, lifetime_s=-60), mailbox.server.token(mailbox.user)
    tokens = Tokens([expired, good])
    assert listed(with_login(account_of(mailbox, way), TokenLogin(mailbox.user, "news", tokens))) == 1
    assert tokens.refused == [expired]


def test_a_token_that_is_refused_again_is_an_error_with_advice(mailbox: Mailbox, way: Way) -> None:
    expired = [mailbox.server.token(mailbox.user, lifetime_s=-60) for _ in range(3)]
    tokens = Tokens(list(expired))
    with pytest.raises(TokenRefused) as caught:
        listed(with_login(account_of(mailbox, way), TokenLogin(mailbox.user, "news", tokens)))
    assert "mailroom lists login news" in str(caught.value)
    assert tokens.asked == 2, "once more, and no more"
    assert not any(token in f"{caught.value!r} {caught.value.__cause__!r}" for token in expired)


def test_a_token_of_another_user_is_refused(mailbox: Mailbox, way: Way) -> None:
    mailbox.server.mailbox("somebody-else")
    tokens = Tokens([mailbox.server.token("somebody-else")])
    with pytest.raises(TokenRefused):
        listed(with_login(account_of(mailbox, way), TokenLogin(mailbox.user, "news", tokens)))


@pytest.mark.parametrize("protocol", list(Protocol))
def test_no_token_leaves_without_tls(mailbox: Mailbox, protocol: Protocol) -> None:
    tokens = Tokens([mailbox.server.token(mailbox.user)])
    account = with_login(account_of(mailbox, (protocol, Tls.NONE)), TokenLogin(mailbox.user, "news", tokens))
    with pytest.raises(NotEncrypted, match="no token"):
        listed(account)
    assert tokens.asked == 0


@dataclass
class TlsScript:
    """A scripted server behind TLS; `heard` holds every line in clear."""

    script: Script
    files: certificates.Certificates

    def __call__(self, session: Session) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files.certificate_file, self.files.key_file)
        session.start_tls(context)
        self.script(session)


def account_at(port: int, way: Way, login: Login, ca_file: Path) -> Account:
    protocol, tls = way
    folder = "INBOX" if protocol == Protocol.IMAP else ""
    return Account("news", Endpoint(protocol, "localhost", port, tls, ca_file), login, folder)


def refusing_pop3(session: Session) -> None:
    """As Gmail does: a challenge that says why, and an empty line before the -ERR."""
    session.say(b"+OK ready")
    while line := session.hear():
        if line == b"AUTH XOAUTH2":
            session.say(b"+ ")
            session.hear()
            session.say(b"+ " + ERROR)
            assert session.hear() == b""
            session.heard.append(b"(nothing)")
            session.say(b"-ERR [AUTH] not accepted")
        else:
            session.say(b"-ERR what?")


def refusing_imap(session: Session) -> None:
    session.say(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"AUTHENTICATE":
            session.say(b"+ ")
            session.hear()
            session.say(b"+ " + ERROR)
            assert session.hear() == b""
            session.heard.append(b"(nothing)")
            session.say(tag + b" NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)")
        elif word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2", tag + b" OK done")
        else:
            session.say(tag + b" BAD what?")


@pytest.mark.parametrize(("way", "script"), [(POP3, refusing_pop3), (IMAP, refusing_imap)], ids=["pop3", "imap"])
def test_the_challenge_says_what_the_token_misses(files: certificates.Certificates, way: Way, script: Script) -> None:
    with serving(TlsScript(script, files)) as server:
        login = TokenLogin("joe@example.net", "news", Tokens(["canary-token"]))
        with pytest.raises(TokenRefused, match=r"status 400.*https://mail\.example/") as caught:
            listed(account_at(server.port, way, login, files.ca_file))
    assert "canary" not in str(caught.value)
    assert b"(nothing)" in server.heard, "the challenge was answered with an empty line"
    assert next(line for line in server.heard if b"XOAUTH2" in line).endswith(b"XOAUTH2"), "no token on that line"
    assert base64.b64encode(b"user=joe@example.net\x01auth=Bearer canary-token\x01\x01") in server.heard


def echoing_pop3(session: Session) -> None:
    session.say(b"+OK ready")
    while session.hear():
        session.say(b"+ ")
        session.say(b"-ERR what is " + session.hear() + b"?")


def echoing_imap(session: Session) -> None:
    session.say(b"* OK ready")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"AUTHENTICATE":
            session.say(b"+ ")
            session.say(tag + b" NO what is " + session.hear() + b"?")
        else:
            session.say(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2", tag + b" OK done")


@pytest.mark.parametrize(("way", "script"), [(POP3, echoing_pop3), (IMAP, echoing_imap)], ids=["pop3", "imap"])
def test_a_server_that_repeats_the_token_shows_it_to_nobody(
    files: certificates.Certificates, way: Way, script: Script
) -> None:
    """Also where it is so long that the end of the line is cut off."""
    token = "canary-token" + "x" * 2000
    with serving(TlsScript(script, files)) as server:
        login = TokenLogin("joe", "news", Tokens([token]))
        with pytest.raises(TokenRefused, match="what is …") as caught:
            listed(account_at(server.port, way, login, files.ca_file))
    seen = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "canary" not in seen
    assert "dXNlcj1" not in seen, "the same in base64"


PASSWORDLESS = [
    pytest.param(POP3, b"-ERR no", b"SASL XOAUTH2 OAUTHBEARER", id="pop3-offers-only-tokens"),
    pytest.param(POP3, b'-ERR Logon failure. [Error="AuthFailed:LogonDenied-BasicAuthBlocked"]', b"USER", id="pop3-ms"),
    pytest.param(POP3, b"-ERR [AUTH] Application-specific password required: https://a.example", b"USER", id="pop3-gm"),
    pytest.param(IMAP, b"NO no", b"LOGINDISABLED AUTH=OAUTHBEARER", id="imap-offers-only-tokens"),
    pytest.param(IMAP, b"NO LOGIN failed: basic authentication is disabled", b"AUTH=PLAIN", id="imap-ms"),
    pytest.param(IMAP, b"NO [ALERT] Please log in via your web browser", b"AUTH=PLAIN", id="imap-gm"),
]


@pytest.mark.parametrize(("way", "refusal", "offer"), PASSWORDLESS)
def test_a_server_without_passwords_is_told_from_a_wrong_password(
    files: certificates.Certificates, way: Way, refusal: bytes, offer: bytes
) -> None:
    with serving(TlsScript(refusing_passwords(way, refusal, offer), files)) as server:
        account = account_at(server.port, way, PasswordLogin("joe", "canary"), files.ca_file)
        with pytest.raises(PasswordLoginGone, match="use OAuth2, with `mailroom lists login"):
            listed(account)


@pytest.mark.parametrize(
    ("way", "refusal", "offer"),
    [
        pytest.param(POP3, b"-ERR no", b"USER\r\nSASL PLAIN XOAUTH2", id="pop3"),
        pytest.param(IMAP, b"NO no", b"AUTH=PLAIN AUTH=XOAUTH2", id="imap"),
    ],
)
def test_a_wrong_password_stays_a_wrong_password(
    files: certificates.Certificates, way: Way, refusal: bytes, offer: bytes
) -> None:
    with serving(TlsScript(refusing_passwords(way, refusal, offer), files)) as server:
        account = account_at(server.port, way, PasswordLogin("joe", "canary"), files.ca_file)
        with pytest.raises(LoginRefused, match="Check user name and password") as caught:
            listed(account)
        assert type(caught.value) is LoginRefused


def refusing_passwords(way: Way, refusal: bytes, offer: bytes) -> Script:
    def pop3(session: Session) -> None:
        session.say(b"+OK ready")
        while line := session.hear():
            match line.split()[0]:
                case b"CAPA":
                    session.say(b"+OK", offer, b".")
                case b"USER":
                    session.say(b"+OK")
                case _:
                    session.say(refusal)

    def imap(session: Session) -> None:
        session.say(b"* OK ready")
        while line := session.hear():
            tag, word = line.split()[:2]
            if word == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1 " + offer, tag + b" OK done")
            else:
                session.say(tag + b" " + refusal)

    return pop3 if way == POP3 else imap


def challenging_for_ever(session: Session) -> None:
    session.say(b"+OK ready")
    while session.hear() or True:
        session.say(b"+ bm8=")


def test_challenges_without_an_end_end(files: certificates.Certificates) -> None:
    with serving(TlsScript(challenging_for_ever, files)) as server:
        login = TokenLogin("joe", "news", Tokens(["canary-token"]))
        with pytest.raises(ConnectionLost, match="without an end"):
            listed(account_at(server.port, POP3, login, files.ca_file))


def imap_with_a_challenge_that_is_no_base64(session: Session) -> None:
    session.say(b"* OK ready")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"AUTHENTICATE":
            session.say(b"+ abcde")
        else:
            session.say(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2", tag + b" OK done")


def test_a_challenge_that_nobody_can_read_ends_the_login(files: certificates.Certificates) -> None:
    with serving(TlsScript(imap_with_a_challenge_that_is_no_base64, files)) as server:
        login = TokenLogin("joe", "news", Tokens(["canary-token"]))
        with pytest.raises(MailboxError):
            listed(account_at(server.port, IMAP, login, files.ca_file))


def exchange_without_permission(session: Session) -> None:
    session.say(b"* OK ready")
    while line := session.hear():
        tag, word = line.split()[:2]
        if word == b"AUTHENTICATE":
            session.say(b"+ ")
            session.hear()
            session.say(tag + b" OK AUTHENTICATE completed.")
        elif word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2", tag + b" OK done")
        else:
            session.say(tag + b" BAD User is authenticated but not connected.")


def test_a_mailbox_that_the_application_may_not_open_is_no_missing_folder(files: certificates.Certificates) -> None:
    with serving(TlsScript(exchange_without_permission, files)) as server:
        login = TokenLogin("joe", "news", Tokens(["canary-token"]))
        with pytest.raises(LoginRefused, match="Add-MailboxPermission"):
            listed(account_at(server.port, IMAP, login, files.ca_file))
