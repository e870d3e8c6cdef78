"""Microsoft's and Google's ways to a token, through their own libraries, against a token endpoint of the tests."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.fetcher import grants
from services.fetcher.errors import GrantOver, TokenEndpointUnreachable
from services.fetcher.grants import (
    GoogleService,
    Grant,
    MicrosoftApp,
    MicrosoftUser,
    RefreshToken,
    grant_as_text,
    read_grant,
    read_service_key,
)
from services.fetcher.token_session import TokenSession
from shared.errors import ConfigurationError
from tests.servers import finding
from tests.servers.token_endpoint import TENANT, TokenEndpoint

SECRET = "canary-client-secret"
REFRESH = "canary-refresh-0"


@pytest.fixture(scope="module")
def private_key() -> str:
    """PEM, as in the file of a service account."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@dataclass(frozen=True)
class Case:
    grant: Callable[[str, str], Grant]
    """Of the endpoint's URL, and a private key."""
    asks: dict[str, str]
    refresh_token: str = ""


def service_key(url: str, private_key: str) -> str:
    key = {"type": "service_account", "client_email": "bot@project.example", "token_uri": f"{url}/{TENANT}/token"}
    return json.dumps(key | {"private_key": private_key, "private_key_id": "1", "project_id": "p"})


CASES = [
    pytest.param(
        Case(
            lambda url, _key: MicrosoftApp(TENANT, "app-1", SECRET, url),
            {
                "grant_type": "client_credentials",
                "client_id": "app-1",
                "client_secret": SECRET,
                "scope": "https://outlook.office365.com/.default",
            },
        ),
        id="microsoft-app",
    ),
    pytest.param(
        Case(
            lambda url, _key: MicrosoftUser(TENANT, "app-1", url),
            {"grant_type": "refresh_token", "client_id": "app-1", "refresh_token": REFRESH},
            REFRESH,
        ),
        id="microsoft-user",
    ),
    pytest.param(
        Case(
            lambda url, key: GoogleService(service_key(url, key), "bounces@example.net"),
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"},
        ),
        id="google-service",
    ),
    pytest.param(
        Case(
            lambda url, _key: RefreshToken("app-1", SECRET, f"{url}/{TENANT}/token", "mail.read"),
            {
                "grant_type": "refresh_token",
                "client_id": "app-1",
                "client_secret": SECRET,
                "refresh_token": REFRESH,
                "scope": "mail.read",
            },
            REFRESH,
        ),
        id="refresh-token",
    ),
]
each_way = pytest.mark.parametrize("case", CASES)


@each_way
def test_a_token_and_its_lifetime(endpoint: TokenEndpoint, private_key: str, case: Case) -> None:
    obtained = case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    assert obtained.access_token == "canary-access-1"
    assert 3500 < obtained.lifetime.total_seconds() <= 3600
    assert obtained.refresh_token == ("canary-refresh-1" if case.refresh_token else "")
    (asked,) = endpoint.asked
    assert asked | case.asks == asked


def test_a_google_assertion_speaks_for_the_mailbox(endpoint: TokenEndpoint, private_key: str) -> None:
    GoogleService(service_key(endpoint.url, private_key), "bounces@example.net").obtain("")
    payload = endpoint.asked[0]["assertion"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["iss"], claims["scope"]) == (
        "bounces@example.net",
        "bot@project.example",
        "https://mail.google.com/",
    )


def test_microsoft_is_asked_for_both_protocols_and_a_refresh_token(endpoint: TokenEndpoint) -> None:
    MicrosoftUser(TENANT, "app-1", endpoint.url).obtain(REFRESH)
    scopes = set(endpoint.asked[0]["scope"].split())
    assert scopes >= {
        "https://outlook.office365.com/IMAP.AccessAsUser.All",
        "https://outlook.office365.com/POP.AccessAsUser.All",
        "offline_access",
    }


@each_way
def test_a_grant_survives_being_kept_and_shows_no_secret(case: Case, private_key: str) -> None:
    grant = case.grant("https://tokens.example", private_key)
    assert read_grant(grant_as_text(grant)) == grant
    assert SECRET not in repr(grant)
    assert "PRIVATE KEY" not in repr(grant)


REFUSALS = [
    (400, {"error": "invalid_grant", "error_description": "AADSTS70008: expired due to inactivity"}, "AADSTS70008"),
    (401, {"error": "invalid_client", "error_description": "AADSTS7000222: the secret has expired"}, "AADSTS7000222"),
    (400, {"error": "invalid_grant", "error_description": f"{REFRESH} and {SECRET}\nTrace: 1"}, "invalid_grant"),
    (401, {"error": "unauthorized_client"}, "unauthorized_client"),
]


@each_way
@pytest.mark.parametrize(("status", "answer", "words"), REFUSALS, ids=["expired", "secret", "echo", "bare"])
def test_a_refusal_says_why_and_repeats_no_secret(
    endpoint: TokenEndpoint, private_key: str, case: Case, status: int, answer: dict[str, str], words: str
) -> None:
    endpoint.refusal = (status, answer)
    with pytest.raises(GrantOver, match=words) as caught:
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    told = _all_of(caught.value)
    assert not [secret for secret in (case.refresh_token, case.asks.get("client_secret")) if secret and secret in told]
    assert "\n" not in str(caught.value)
    assert len(endpoint.asked) == 1


@each_way
def test_nobody_there(private_key: str, case: Case) -> None:
    grant = case.grant(f"https://localhost:{finding.free_port()}", private_key)
    with pytest.raises(TokenEndpointUnreachable, match="refused") as caught:
        grant.obtain(case.refresh_token)
    assert SECRET not in _all_of(caught.value)


@each_way
def test_a_certificate_that_proves_nothing(
    endpoint: TokenEndpoint, private_key: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(TokenEndpointUnreachable, match="certificate was refused"):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    assert endpoint.asked == []


@each_way
@pytest.mark.parametrize("status", [500, 503])
def test_an_endpoint_in_trouble_is_no_refusal(
    endpoint: TokenEndpoint, private_key: str, case: Case, status: int
) -> None:
    endpoint.refusal = (status, {"error": "temporarily_unavailable"})
    with pytest.raises(TokenEndpointUnreachable):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)


def test_a_tenant_that_is_not_there(endpoint: TokenEndpoint) -> None:
    with pytest.raises(GrantOver, match="tenant"):
        replace(MicrosoftApp("nobody", "app-1", SECRET), authority=endpoint.url).obtain()


@each_way
def test_a_token_that_would_end_a_command_is_none(endpoint: TokenEndpoint, private_key: str, case: Case) -> None:
    endpoint.issue = lambda: "to\r\nken"
    with pytest.raises(GrantOver, match="characters"):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)


def test_a_refresh_token_that_stays_is_not_replaced(endpoint: TokenEndpoint) -> None:
    endpoint.rotates = False
    assert RefreshToken("app-1", SECRET, endpoint.token_uri).obtain(REFRESH).refresh_token == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"client_email": "a", "private_key": "", "token_uri": "b"}', "\xff"])
def test_a_file_that_is_no_service_key(text: str) -> None:
    with pytest.raises(ConfigurationError, match="client_email"):
        read_service_key(text)


def _all_of(error: BaseException | None) -> str:
    told = ""
    while error is not None:
        told += f"{error!s} {error!r} {error.args!r}"
        error = error.__cause__
    return told


@pytest.fixture
def plain() -> Iterator[tuple[str, list[bytes]]]:
    """An endpoint without TLS: its URL, and all that was ever sent to it."""
    heard: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_error(400)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/token", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_secret_is_sent_in_the_clear(plain: tuple[str, list[bytes]], private_key: str) -> None:
    url, heard = plain
    key = json.dumps(json.loads(service_key("https://x", private_key)) | {"token_uri": url})
    for grant in (RefreshToken("app-1", SECRET, url), GoogleService(key, "bounce@example.com")):
        with pytest.raises(TokenEndpointUnreachable, match="https"):
            grant.obtain(REFRESH)
    assert heard == []


BROKEN = [
    pytest.param(200, b"<html>welcome</html>", id="html"),
    pytest.param(400, b"<html>what?</html>", id="html-400"),
    pytest.param(200, b"", id="empty"),
    pytest.param(200, b"[]", id="list"),
    pytest.param(200, b"[" * 100_000, id="deep"),
    pytest.param(200, b"\xff\xfe", id="noise"),
    pytest.param(200, b"{}", id="no-token"),
    pytest.param(200, b'{"access_token": null}', id="null"),
    pytest.param(200, b'{"access_token": ["a"], "expires_in": 3600}', id="token-is-a-list"),
    pytest.param(200, b'{"access_token": ""}', id="empty-token"),
    pytest.param(400, b'{"error": "temporarily_unavailable"}', id="temporarily"),
    pytest.param(429, b'{"error": "slow"}', id="too-often"),
    pytest.param(500, b'{"error": "invalid_grant"}', id="500"),
    pytest.param(502, b"bad gateway", id="502"),
    pytest.param(200, b"x" * 2_000_000, id="huge"),
]


@each_way
@pytest.mark.parametrize(("status", "body"), BROKEN)
def test_a_broken_answer_is_no_refusal(
    endpoint: TokenEndpoint, private_key: str, case: Case, status: int, body: bytes
) -> None:
    endpoint.raw = (status, body, {})
    with pytest.raises(TokenEndpointUnreachable):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)


@each_way
@pytest.mark.parametrize(
    ("said", "lifetime_s"),
    [
        *((said, 600) for said in ("abc", None, [], {}, True, 0, -5, -1e300, "", "NaN")),
        *((said, 86_400) for said in (1e300, 10**400, "Infinity", 10**9)),
        *((said, 1800) for said in (1800, "1800", 1800.5, "1800.5")),
    ],
    ids=lambda said: str(said)[:12],
)
def test_a_lifetime_is_a_sane_one(
    endpoint: TokenEndpoint, private_key: str, case: Case, said: object, lifetime_s: int
) -> None:
    fields = {"access_token": "canary-access-1", "token_type": "Bearer", "expires_in": said}
    endpoint.raw = (200, json.dumps(fields).encode(), {})
    obtained = case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    assert lifetime_s - 60 < obtained.lifetime.total_seconds() <= lifetime_s


@each_way
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_secret_is_sent_nowhere_else(endpoint: TokenEndpoint, private_key: str, case: Case, status: int) -> None:
    endpoint.raw = (status, b"", {"Location": f"{endpoint.url}/elsewhere"})
    with pytest.raises(TokenEndpointUnreachable, match="sends elsewhere"):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    assert len(endpoint.asked) == 1


@each_way
@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_trickles_ends(
    endpoint: TokenEndpoint, private_key: str, case: Case, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "session", lambda: TokenSession(total_s=1.0))
    endpoint.trickles = part
    begun = monotonic()
    with pytest.raises(TokenEndpointUnreachable, match="in time"):
        case.grant(endpoint.url, private_key).obtain(case.refresh_token)
    assert monotonic() - begun < 5
