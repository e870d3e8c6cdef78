"""No credential goes to a server whose certificate proves nothing, whatever the protocol and the way to TLS."""

import ssl
from pathlib import Path

import pytest

from services.fetcher.endpoint import Endpoint, Protocol, Tls
from services.fetcher.errors import CertificateRefused, LoginRefused
from services.fetcher.login import PasswordLogin
from services.fetcher.opening import open_mailbox
from tests.integration.fetcher.conftest import Way
from tests.integration.fetcher.scripted import Script, Session, serving
from tests.servers.certificates import Bad, make_bad

BAD = (
    "expired",
    "not yet valid",
    "of another name",
    "self-signed",
    "of an unknown authority",
    "not for servers",
    "of a weak key",
    "without its intermediate",
    "signed by one that is no authority",
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bad]:
    return make_bad(tmp_path_factory.mktemp("certificates"))


def showing(certificate: Bad, protocol: Protocol, tls: Tls) -> Script:
    """A server that takes any login down, and refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # or OpenSSL would not serve with the weak key
    context.load_cert_chain(certificate.chain_file, certificate.key_file)

    def script(session: Session) -> None:
        if tls == Tls.IMPLICIT:
            session.start_tls(context)
        session.say(b"+OK" if protocol == Protocol.POP3 else b"* OK hello")
        while line := session.hear():
            if protocol == Protocol.POP3:
                session.say(b"-ERR [AUTH] no" if line.startswith(b"PASS") else b"+OK")
                if line == b"STLS":
                    session.start_tls(context)
                continue
            tag, word = line.split()[:2]
            if word == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1 STARTTLS")
            session.say(tag + (b" NO no" if word == b"LOGIN" else b" OK done"))
            if word == b"STARTTLS":
                session.start_tls(context)

    return script


def open_at(port: int, way: Way, ca_file: Path) -> None:
    protocol, tls = way
    endpoint = Endpoint(protocol, "localhost", port, tls, ca_file)
    open_mailbox(endpoint, PasswordLogin("joe", "canary"), "INBOX" if protocol == Protocol.IMAP else "", False)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_is_refused_before_the_login(certificates: dict[str, Bad], way: Way, name: str) -> None:
    certificate = certificates[name]
    with serving(showing(certificate, *way)) as server, pytest.raises(CertificateRefused, match="certificate"):
        open_at(server.port, way, certificate.ca_file)
    said = b" ".join(server.heard)
    assert b"joe" not in said
    assert b"canary" not in said


def test_the_good_one_of_the_same_authority_gets_the_login(certificates: dict[str, Bad], way: Way) -> None:
    certificate = certificates["good"]
    with serving(showing(certificate, *way)) as server, pytest.raises(LoginRefused):
        open_at(server.port, way, certificate.ca_file)
    assert b"canary" in b" ".join(server.heard)
