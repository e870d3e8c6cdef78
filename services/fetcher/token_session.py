"""HTTP to token endpoints: over TLS only, never redirected, and with a bound on time and size, whatever its callers ask for."""

import contextlib
import json
import socket
import time
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from services.fetcher.watchdog import Watchdog

SILENCE_S: Final = 15.0
TOTAL_S: Final = 40.0
"""From the connection to the last byte, however steadily it trickles."""
ANSWER_LIMIT_BYTES: Final = 256 * 1024
UNSAID_LIFETIME_S: Final = 600
LONGEST_LIFETIME_S: Final = 24 * 60 * 60
_CHUNK_BYTES: Final = 8192


class TokenSession(requests.Session):
    """What is sent holds secrets: it goes to the endpoint that was named, and nowhere that this one would like to have it sent.

    Raises requests.RequestException also for a status of trouble, and for an answer that is no JSON object.
    """

    def __init__(self, total_s: float = TOTAL_S) -> None:
        super().__init__()
        self._total_s = total_s
        self._watching = contextlib.ExitStack()
        self.mount("https://", _Adapter(self._watching, total_s))
        self.headers["Accept-Encoding"] = "identity"

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """With its whole body, an object in JSON."""
        if not str(url).lower().startswith("https://"):
            raise requests.exceptions.InvalidURL("it does not begin with https://, so nothing was sent")
        silence_s = min(SILENCE_S, self._total_s)
        kwargs |= {"timeout": silence_s, "allow_redirects": False, "stream": True}
        deadline = time.monotonic() + self._total_s
        kwargs["headers"] = dict(kwargs.get("headers") or {}) | {
            "Connection": "close"
        }  # the deadline is a connection's
        try:
            answer = super().request(method, url, *args, **kwargs)
            with answer:
                if answer.is_redirect:
                    raise requests.exceptions.TooManyRedirects("it sends elsewhere, where no secret is sent")
                if answer.status_code >= 500 or answer.status_code == 429:
                    raise requests.HTTPError(f"HTTP status {answer.status_code}")
                body = _read(answer)
        except requests.RequestException:
            if time.monotonic() >= deadline:
                raise requests.Timeout("timed out") from None
            raise
        finally:
            self._watching.close()
        if time.monotonic() >= deadline:
            raise requests.Timeout("timed out")
        answer._content = _without_nonsense(body)
        return answer


class _Adapter(HTTPAdapter):
    """Has every connection, also one through a proxy, broken off after `total_s`, until `watching` is closed."""

    def __init__(self, watching: contextlib.ExitStack, total_s: float) -> None:
        class Connection(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                watchdog = watching.enter_context(Watchdog(connected, total_s))
                watching.enter_context(watchdog.limit())
                return connected

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self._pools = {"https": Pool}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.poolmanager.pool_classes_by_scheme | self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = manager.pool_classes_by_scheme | self._pools
        return manager


def _read(answer: requests.Response) -> bytes:
    body = bytearray()
    for chunk in answer.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise requests.exceptions.ContentDecodingError("its answer has no end in sight")
    return bytes(body)


def _without_nonsense(body: bytes) -> bytes:
    """The object, with what both libraries stumble over put right: lifetimes that are none, tokens that are no text."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise requests.exceptions.InvalidJSONError("its answer is no token")
    if "expires_in" in fields:
        fields["expires_in"] = _lifetime_s(fields["expires_in"])
    for name in ("access_token", "refresh_token"):
        if name in fields and not (isinstance(fields[name], str) and fields[name]):
            del fields[name]
    return json.dumps(fields).encode()


def _lifetime_s(said: Any) -> int:
    """Some endpoints give it as text."""
    try:
        seconds = 0.0 if isinstance(said, bool) else float(said)
    except OverflowError:
        return LONGEST_LIFETIME_S
    except (TypeError, ValueError):
        return UNSAID_LIFETIME_S
    return int(min(seconds, LONGEST_LIFETIME_S)) if seconds >= 1 else UNSAID_LIFETIME_S
