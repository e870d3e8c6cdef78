"""[Test Bounce Settings] against the real mail server and against bad ones: what works is found, what does not is named."""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from services.fetcher.emptying import BOUNCES, read_emptying
from services.fetcher.endpoint import Deadlines, Endpoint, Protocol, Tls
from services.fetcher.lists import Way, ways
from services.fetcher.login import PasswordLogin
from services.fetcher.reach import ANYWHERE, PublicServers, Reach
from services.fetcher.trial import Trial, try_settings
from tests.integration.fetcher.conftest import IMAP, POP3, WAYS, account_of
from tests.integration.fetcher.conftest import Way as Secured
from tests.integration.fetcher.maildrop import Maildrop
from tests.integration.fetcher.scripted import Scripted, Session, serving
from tests.servers import certificates
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Mailbox

LOGIN = PasswordLogin("joe", "canary-5b1e")
PROTOCOLS = pytest.mark.parametrize("protocol", list(Protocol))


def trial_of(
    mailbox: Mailbox, way: Secured, *, port: int | None = None, password: str | None = None, folder: str = ""
) -> Trial:
    """Auto detect on one of Dovecot's ports."""
    account = account_of(mailbox, way, port=port, password=password)
    tried = ways(account.endpoint.protocol, account.endpoint.port)
    return try_settings(account.endpoint, tried, account.login, folder or account.folder)


def flags(mailbox: Mailbox) -> set[str]:
    """Of all mails, as Dovecot writes them into the names of the files."""
    folder = mailbox.server.directory / "mail" / mailbox.user
    return {file.name.partition(":2,")[2] for part in ("new", "cur") for file in (folder / part).iterdir()}


@pytest.mark.parametrize("way", WAYS)
def test_what_works_is_found_and_counted(mailbox: Mailbox, way: Secured) -> None:
    for number in range(3):
        mailbox.deliver(b"Subject: %d\r\n\r\nx\r\n" % number)
    before = mailbox.mails()
    trial = trial_of(mailbox, way)
    assert trial.error is None
    assert trial.mails == 3
    assert trial.endpoint is not None
    assert (trial.endpoint.protocol, trial.endpoint.tls) == way
    assert (mailbox.mails(), flags(mailbox)) == (before, {""})


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_password(mailbox: Mailbox, way: Secured) -> None:
    trial = trial_of(mailbox, way, password="canary-5b1e")
    assert trial.error is not None
    assert trial.error.word == "login-refused"
    assert "Check user name and password" in str(trial.error)
    assert "canary" not in f"{trial!r} {trial.error}"


def test_a_port_of_the_other_protocol(mailbox: Mailbox) -> None:
    for way, port in ((POP3, mailbox.server.imaps_port), (IMAP, mailbox.server.pop3_port)):
        trial = trial_of(mailbox, way, port=port)
        assert trial.error is not None
        assert trial.error.word == "wrong-protocol"
        assert "account type" in str(trial.error)


@PROTOCOLS
def test_starttls_chosen_by_hand_on_a_port_for_implicit_tls(mailbox: Mailbox, protocol: Protocol) -> None:
    account = account_of(mailbox, (protocol, Tls.IMPLICIT))
    endpoint = replace(account.endpoint, deadlines=Deadlines(connect_s=0.5))  # so long nobody greets
    trial = try_settings(endpoint, [Way(account.endpoint.port, Tls.STARTTLS)], account.login, account.folder)
    assert trial.error is not None
    assert (trial.error.word, "never greets without it" in str(trial.error)) == ("wrong-port", True)


@PROTOCOLS
def test_a_port_where_nothing_listens(protocol: Protocol) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    trial = attempt(protocol, port)
    assert trial.error is not None
    assert trial.error.word == "connection-refused"
    assert [one.way.tls for one in trial.attempts] == [Tls.IMPLICIT, Tls.STARTTLS]


@PROTOCOLS
def test_a_name_that_is_none(protocol: Protocol) -> None:
    trial = attempt(protocol, 995, host="mail.other")
    assert trial.error is not None
    assert (trial.error.word, len(trial.attempts)) == ("no-such-server", 1)


def test_a_folder_that_is_not_there(mailbox: Mailbox) -> None:
    trial = trial_of(mailbox, IMAP, folder="Nowhere")
    assert trial.error is not None
    assert (trial.error.word, "Nowhere" in str(trial.error)) == ("folder-missing", True)


def test_a_folder_to_move_to_that_is_not_there(mailbox: Mailbox) -> None:
    account = account_of(mailbox, IMAP)
    way = Way(account.endpoint.port, Tls.IMPLICIT)
    moving = read_emptying("move:Done")
    trial = try_settings(account.endpoint, [way], account.login, "INBOX", moving)
    assert trial.error is not None
    assert (trial.error.word, "Done" in str(trial.error)) == ("folder-missing", True)
    mailbox.deliver(b"x: y\r\n\r\n", folder="Done")
    assert try_settings(account.endpoint, [way], account.login, "INBOX", moving).mails == 0


def attempt(
    protocol: Protocol,
    port: int,
    *,
    host: str = "127.0.0.1",
    ca_pem: str = "",
    tls: Tls | None = None,
    reach: Reach = ANYWHERE,
) -> Trial:
    """At a server of the test's own; auto detect unless `tls` is chosen."""
    server = Endpoint(protocol, host, port, ca_pem=ca_pem, reach=reach)
    return try_settings(server, ways(protocol, port, tls), LOGIN, "INBOX" if protocol == Protocol.IMAP else "", BOUNCES)


def no_credentials(server: Scripted) -> bool:
    """Whether nobody was told who logs in, in whatever command."""
    return not any(word in line for line in server.heard for word in (b"canary", b"joe", b"PASS", b"LOGIN", b"AUTH"))


def secured(
    protocol: Protocol, tls: Tls, files: Certificates, inside: Callable[[Session], None]
) -> Callable[[Session], None]:
    """A server with that certificate; `inside` serves a client that accepted it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate_file, files.key_file)

    def script(session: Session) -> None:
        if tls == Tls.STARTTLS:
            offer(session, protocol, session.hear)
        session.start_tls(context)
        inside(session)

    return script


def offer(session: Session, protocol: Protocol, hear: Callable[[], bytes]) -> None:
    """Greets in the clear and waits for STARTTLS or STLS, which it allows."""
    if protocol == Protocol.POP3:
        session.say(b"+OK")
        hear()
        session.say(b"+OK")
        return
    session.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready")
    while line := hear():
        tag, word, *_ = line.split()
        if word == b"CAPABILITY":
            session.say(b"* CAPABILITY IMAP4rev1 STARTTLS")
        session.say(tag + b" OK done")
        if word == b"STARTTLS":
            return


WORDS = {
    "expired": "certificate-expired",
    "not valid yet": "certificate-expired",
    "of another name": "certificate-of-another-name",
    "of a wildcard one level higher": "certificate-of-another-name",
}


@pytest.mark.parametrize("bad", certificates.BAD)
@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
@PROTOCOLS
def test_a_bad_certificate_is_shown_and_nothing_is_sent(tmp_path: Path, protocol: Protocol, tls: Tls, bad: str) -> None:
    files = certificates.make(tmp_path, bad=bad)
    with serving(secured(protocol, tls, files, lambda session: session.say(b"+OK"))) as server:
        trial = attempt(protocol, server.port, host="localhost", ca_pem=files.ca_file.read_text(), tls=tls)
    assert trial.error is not None
    assert trial.error.word == WORDS.get(bad, "certificate-refused")
    assert trial.certificate is not None
    shown = x509.load_pem_x509_certificate(files.certificate_file.read_bytes())
    assert trial.certificate.sha256.replace(":", "") == shown.fingerprint(hashes.SHA256()).hex().upper()
    assert trial.certificate.pem == files.certificate_file.read_text()
    assert (trial.certificate.not_before, trial.certificate.not_after) == (
        shown.not_valid_before_utc,
        shown.not_valid_after_utc,
    )
    assert no_credentials(server)


def test_auto_detect_does_not_settle_for_a_certificate_that_it_cannot_verify(tmp_path: Path) -> None:
    files = certificates.make(tmp_path)
    with serving(secured(Protocol.POP3, Tls.IMPLICIT, files, lambda session: session.say(b"+OK"))) as server:
        trial = attempt(Protocol.POP3, server.port, host="localhost")  # without its authority
    assert trial.error is not None
    assert trial.error.word == "certificate-refused"
    assert trial.endpoint is None
    assert no_credentials(server)


def test_a_certificate_of_ones_own_can_be_its_own_authority(tmp_path: Path) -> None:
    files = certificates.make(tmp_path, bad="signed by itself")
    with serving(secured(Protocol.POP3, Tls.IMPLICIT, files, Maildrop([b"a: b\r\n\r\n"]))) as server:
        trial = attempt(Protocol.POP3, server.port, host="localhost", ca_pem=files.certificate_file.read_text())
    assert trial.error is None
    assert trial.endpoint is not None


@PROTOCOLS
def test_a_server_without_tls_is_given_no_password_unasked(protocol: Protocol) -> None:
    def script(session: Session) -> None:
        session.say(b"+OK" if protocol == Protocol.POP3 else b"* OK ready")
        while line := session.hear():
            if protocol == Protocol.POP3:
                session.say(b"-ERR what?")
                continue
            tag, command, *_ = line.split()
            if command == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1")
            session.say(tag + (b" OK done" if command == b"CAPABILITY" else b" BAD what?"))

    with serving(script) as server:
        trial = attempt(protocol, server.port)
    assert trial.error is not None
    assert (trial.error.word, "--tls none" in str(trial.error)) == ("start-tls-missing", True)
    assert no_credentials(server)


def test_tls_none_chosen_by_hand_works() -> None:
    with serving(Maildrop([b"a: b\r\n\r\n", b"c: d\r\n\r\n"])) as server:
        trial = attempt(Protocol.POP3, server.port, tls=Tls.NONE)
    assert (trial.error, trial.mails) == (None, 2)


@pytest.mark.parametrize(
    ("protocol", "said", "word"),
    [
        (Protocol.POP3, b"-ERR [IN-USE] Mailbox is locked", "mailbox-locked"),
        (Protocol.IMAP, b"NO [INUSE] Mailbox is locked", "mailbox-locked"),
        (Protocol.POP3, b"-ERR wrong password canary-5b1e", "login-refused"),
        (Protocol.IMAP, b"NO wrong password canary-5b1e", "login-refused"),
    ],
)
def test_what_a_server_says_at_the_login(protocol: Protocol, said: bytes, word: str) -> None:
    def script(session: Session) -> None:
        if protocol == Protocol.POP3:
            session.say(b"+OK")
            while line := session.hear():
                session.say(said if line.startswith(b"PASS") else b"+OK")
            return
        session.say(b"* OK ready")
        while line := session.hear():
            tag, command, *_ = line.split()
            if command == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1")
            session.say(tag + b" " + (said if command == b"LOGIN" else b"OK done"))

    with serving(script) as server:
        trial = attempt(protocol, server.port, tls=Tls.NONE)
    assert trial.error is not None
    assert trial.error.word == word
    assert "canary" not in f"{trial!r} {trial.error} {trial.error.__cause__!r}"


@contextmanager
def counting() -> Iterator[tuple[int, list[str]]]:
    """A server, and who connected to it."""
    connected: list[str] = []

    def script(session: Session) -> None:
        connected.append("x")
        Maildrop([])(session)

    with serving(script) as server:
        yield server.port, connected


@PROTOCOLS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1"])
def test_an_inner_server_is_not_connected_to(protocol: Protocol, host: str) -> None:
    with counting() as (port, connected):
        trial = attempt(protocol, port, host=host, reach=PublicServers(frozenset({port})))
    assert trial.error is not None
    assert (trial.error.word, connected) == ("no-such-server", [])


@PROTOCOLS
@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_the_address_that_was_checked_is_connected_to(tmp_path: Path, protocol: Protocol, tls: Tls) -> None:
    """Under a name that only the reach can resolve; the certificate has to be that name's."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    files = certificates.make(tmp_path, "mail.other")
    reach: Reach
    with serving(secured(protocol, tls, files, lambda session: session.say(b"-ERR", b"* BYE"))) as server:
        reach = PublicServers(frozenset({server.port}), [ipaddress.ip_network("127.0.0.0/8")], resolve)
        trial = attempt(protocol, server.port, host="mail.test", ca_pem=files.ca_file.read_text(), tls=tls, reach=reach)
    assert trial.error is not None
    assert trial.error.word == "certificate-of-another-name"
    assert set(asked) == {"mail.test"}
