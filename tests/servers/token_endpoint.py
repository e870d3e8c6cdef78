"""A token endpoint on loopback, over TLS: what a provider of mailboxes has, with a count of what it was asked.

It speaks for Microsoft (a tenant's OpenID configuration, client credentials, refresh tokens, device codes) and for Google
(a service account's assertion, refresh tokens).
"""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs

from tests.servers.certificates import Certificates

TENANT = "tenant"


@dataclass
class TokenEndpoint:
    """`issue` makes access tokens. A refresh token is good once: each answer has the next one."""

    issue: Callable[[], str]
    ca_file: Path
    port: int = 0
    lifetime_s: int = 3600
    asked: list[dict[str, str]] = field(default_factory=list)
    """The forms that were posted to it."""
    refresh_token: str = "canary-refresh-0"
    refusal: tuple[int, dict[str, str]] | None = None
    """Answered to everybody instead of a token."""
    raw: tuple[int, bytes, dict[str, str]] | None = None
    """Status, body and headers that are answered to everybody who posts, instead of anything else."""
    trickles: str = ""
    """Where a posted form's answer never ends, 20 bytes a second: "headers" or "body"."""
    until: threading.Event | None = None
    """No answer before it is set."""
    rotates: bool = True
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def token_uri(self) -> str:
        return f"{self.url}/{TENANT}/token"

    def configuration(self) -> dict[str, str]:
        return {
            "issuer": f"{self.url}/{TENANT}/v2.0",
            "authorization_endpoint": f"{self.url}/{TENANT}/authorize",
            "token_endpoint": self.token_uri,
            "device_authorization_endpoint": f"{self.url}/{TENANT}/devicecode",
        }

    def device_code(self) -> dict[str, object]:
        return {
            "device_code": "canary-device-code",
            "user_code": "ABCD-1234",
            "verification_uri": f"{self.url}/device",
            "message": f"open {self.url}/device and enter ABCD-1234",
            "expires_in": 900,
            "interval": 1,
        }

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        with self._lock:
            self.asked.append(form)
        if self.until is not None:
            self.until.wait(30)
        if self.refusal is not None:
            return self.refusal[0], dict(self.refusal[1])
        with self._lock:
            return self._grant(form)

    def _grant(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        given: dict[str, object] = {
            "token_type": "Bearer",
            "access_token": self.issue(),
            "expires_in": self.lifetime_s,
            "scope": form.get("scope", ""),
        }
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh_token:
            return 400, {"error": "invalid_grant", "error_description": f"no such token: {form['refresh_token']}"}
        if form["grant_type"] == "refresh_token" and self.rotates:
            self.refresh_token = f"canary-refresh-{next(self._numbers)}"
        if form["grant_type"] in ("refresh_token", "urn:ietf:params:oauth:grant-type:device_code"):
            given["refresh_token"] = self.refresh_token
        return 200, given


@contextlib.contextmanager
def serving(certificates: Certificates, issue: Callable[[], str]) -> Iterator[TokenEndpoint]:
    """On a free port of localhost, until the block ends."""
    endpoint = TokenEndpoint(issue, certificates.ca_file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == f"/{TENANT}/v2.0/.well-known/openid-configuration"
            self._say(200 if known else 404, endpoint.configuration() if known else {"error": "invalid_tenant"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            if self.path.endswith("/devicecode"):
                self._say(200, endpoint.device_code())
            else:
                self._answer(form)

        def _answer(self, form: dict[str, str]) -> None:
            status, fields = endpoint.answer(form)
            if endpoint.trickles:
                self._trickle()
            elif endpoint.raw is not None:
                status, body, headers = endpoint.raw
                self._send(status, body, headers)
            else:
                self._say(status, fields)

        def _trickle(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if endpoint.trickles == "body" else b"X: "))
            pace = threading.Event()
            with contextlib.suppress(OSError):
                for _ in range(600):
                    self.wfile.write(b" ")
                    pace.wait(0.05)

        def _say(self, status: int, fields: object) -> None:
            self._send(status, json.dumps(fields).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate_file, certificates.key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    endpoint.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
