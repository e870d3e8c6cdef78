"""What a service shows of itself over HTTP: /health, /ready and /metrics, on a port of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from prometheus_client import make_wsgi_app

from shared.environment import Environment
from shared.listening import listening
from shared.meters import REGISTRY

HOST: Final = "127.0.0.1"
_THREADS: Final = 2
_LARGEST_REQUEST_BYTES: Final = 4096

Checks = Mapping[str, Callable[[], bool]]
"""By what it waits for: whether that is there."""
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where it listens; port 0 is a free one."""

    host: str
    port: int


def read_place(environment: Environment) -> Place | None:
    """MAILROOM_METRICS_HOST and MAILROOM_METRICS_PORT; None without a port."""
    port = environment.text("MAILROOM_METRICS_PORT", "")
    host = environment.text("MAILROOM_METRICS_HOST", HOST)
    return Place(host, environment.integer("MAILROOM_METRICS_PORT", 0, most=65535)) if port else None


@contextmanager
def showing(place: Place | None, checks: Checks, stalled: Callable[[], str] = lambda: "") -> Iterator[int | None]:
    """Answers while the block lasts, on the port that is given out; nothing where there is no place.

    `stalled` tells in words what hangs, '' when nothing does. Raises ConfigurationError where nothing can listen.
    """
    if place is None:
        yield None
        return
    with listening(
        _answering(checks, stalled),
        place.host,
        place.port,
        threads=_THREADS,
        largest_request_bytes=_LARGEST_REQUEST_BYTES,
    ) as port:
        log.info("metrics_shown", host=place.host, port=port)
        yield port


def _answering(checks: Checks, stalled: Callable[[], str]) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    metrics = make_wsgi_app(REGISTRY)

    def answer(request: dict[str, Any], start: Any) -> Iterable[bytes]:
        match request.get("PATH_INFO"):
            case "/metrics":
                shown: Iterable[bytes] = metrics(request, start)
                return shown
            case "/health":
                hangs = stalled()
                return _say(start, not hangs, {"alive": not hangs, "hangs": hangs or None})
            case "/ready":
                missing = [name for name, is_there in checks.items() if not is_there()]
                return _say(start, not missing, {"ready": not missing, "waiting_for": missing})
            case _:
                start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"There are /health, /ready and /metrics.\n"]

    return answer


def _say(start: StartResponse, is_well: bool, what: Mapping[str, Any]) -> list[bytes]:
    start("200 OK" if is_well else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [orjson.dumps(what, option=orjson.OPT_APPEND_NEWLINE)]
