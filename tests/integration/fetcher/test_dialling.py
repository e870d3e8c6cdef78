"""A name with many addresses: tried in order, and within one deadline."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import pytest

from services.fetcher.endpoint import Deadlines, Endpoint, Protocol, Tls
from services.fetcher.errors import ConnectionRefused, TimedOut
from tests.servers import finding


@dataclass(frozen=True)
class These:
    """A name that has these addresses."""

    found: Sequence[str]

    def addresses(self, host: str, port: int) -> Sequence[str]:
        return self.found


def endpoint(port: int, *addresses: str, connect_s: float = 1.0) -> Endpoint:
    deadlines = Deadlines(connect_s=connect_s)
    return Endpoint(Protocol.POP3, "mail.example", port, Tls.NONE, reach=These(addresses), deadlines=deadlines)


@contextlib.contextmanager
def silent(address: str, port: int = 0) -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue is full. The kernel drops what knocks."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((address, port))
        server.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def listening(address: str, port: int) -> Iterator[None]:
    with socket.create_server((address, port)):
        yield


def test_all_addresses_together_have_one_deadline() -> None:
    with silent("127.0.0.2") as port:
        begun = monotonic()
        with pytest.raises(TimedOut):
            endpoint(port, *["127.0.0.2"] * 20).connect()
        assert 0.8 < monotonic() - begun < 3


def test_an_address_that_says_nothing_leaves_time_for_the_next() -> None:
    with (
        silent("127.0.0.2") as port,
        listening("127.0.0.3", port),
        endpoint(port, "127.0.0.2", "127.0.0.3").connect() as connected,
    ):
        assert connected.getpeername()[0] == "127.0.0.3"


def test_they_are_tried_in_order() -> None:
    port = finding.free_port()
    with listening("127.0.0.2", port), listening("127.0.0.3", port):
        for first, second in (("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2")):
            with endpoint(port, "127.0.0.4", first, second).connect() as connected:
                assert connected.getpeername()[0] == first


def test_eight_are_enough() -> None:
    port = finding.free_port()
    with listening("127.0.0.2", port):
        with endpoint(port, *["127.0.0.3"] * 7, "127.0.0.2").connect():
            pass
        with pytest.raises(ConnectionRefused):
            endpoint(port, *["127.0.0.3"] * 8, "127.0.0.2").connect()
