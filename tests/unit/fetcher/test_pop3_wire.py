"""POP3's answers on a socket, whatever the pieces that they come in."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from services.fetcher.endpoint import Deadlines
from services.fetcher.errors import ConnectionLost, LoginOver
from services.fetcher.pop3_wire import Pop3Refused, Pop3Wire


@dataclass
class Line:
    wire: Pop3Wire
    server: socket.socket


@pytest.fixture
def line() -> Iterator[Line]:
    client, server = socket.socketpair()
    wire = Pop3Wire(client, Deadlines(step_s=5))
    with server:
        yield Line(wire, server)
        wire.close()


def answer(line: Line, said: bytes, limit_bytes: int = 1000) -> tuple[bytes, bool]:
    line.server.sendall(b"+OK\r\n")
    line.wire.command(b"RETR 1")
    line.server.sendall(said)
    given = line.wire.lines(limit_bytes)
    return given.data, given.is_whole


@pytest.mark.parametrize(
    ("said", "data"),
    [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..a\r\n...\r\nb.\r\n.\r\n", b".a\r\n..\r\nb.\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
        (b"x" * 900 + b"\r\n.\r\n", b"x" * 900 + b"\r\n"),
    ],
)
def test_a_whole_answer(line: Line, said: bytes, data: bytes) -> None:
    assert answer(line, said) == (data, True)


@pytest.mark.parametrize(("limit_bytes", "is_whole"), [(4999, False), (5000, True)])
def test_a_limit_cuts_and_the_connection_lives(line: Line, limit_bytes: int, is_whole: bool) -> None:
    assert answer(line, b"y" * 4998 + b"\r\n.\r\n", limit_bytes) == ((b"y" * 4998 + b"\r\n")[:limit_bytes], is_whole)
    line.server.sendall(b"+OK still there\r\n")
    assert line.wire.command(b"NOOP") == b"still there"


def test_what_is_far_beyond_the_limit_is_drained(line: Line) -> None:
    assert answer(line, b"..\r\n" * 10_000 + b".\r\n", 300) == (b".\r\n" * 100, False)
    line.server.sendall(b"+OK still there\r\n")
    assert line.wire.command(b"NOOP") == b"still there"


def test_an_answer_without_an_end_costs_the_login(line: Line) -> None:
    import threading

    def babble() -> None:
        try:
            while True:
                line.server.sendall(b"z" * 65536)
        except OSError:
            pass

    line.server.sendall(b"+OK\r\n")
    line.wire.command(b"RETR 1")
    thread = threading.Thread(target=babble)
    thread.start()
    assert line.wire.lines(100).data == b"z" * 100
    thread.join()
    with pytest.raises(LoginOver):
        line.wire.command(b"NOOP")


@pytest.mark.parametrize("said", [b"", b"a\r\n", b"a\r\n.", b"."])
def test_an_end_in_the_middle_gives_nothing(line: Line, said: bytes) -> None:
    line.server.sendall(b"+OK\r\n")
    line.wire.command(b"RETR 1")
    line.server.sendall(said)
    line.server.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost):
        line.wire.lines(1000)


def test_a_trickle_has_a_deadline() -> None:
    client, server = socket.socketpair()
    with server:
        wire = Pop3Wire(client, Deadlines(step_s=0.05))
        server.sendall(b"+O")
        with pytest.raises(ConnectionLost):
            wire.greeting()


def test_a_refusal_is_what_the_server_said(line: Line) -> None:
    line.server.sendall(b"-ERR [IN-USE] busy\r\n")
    with pytest.raises(Pop3Refused, match="busy"):
        line.wire.command(b"PASS x")


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"x" * 9000])
def test_what_is_not_pop3_ends_it(line: Line, said: bytes) -> None:
    line.server.sendall(said)
    with pytest.raises(ConnectionLost):
        line.wire.greeting()


def test_an_answer_to_no_question_ends_it(line: Line) -> None:
    line.server.sendall(b"+OK hello\r\n+OK and more\r\n")
    line.wire.greeting()
    with pytest.raises(ConnectionLost, match="more than was asked"):
        line.wire.command(b"STLS")


@pytest.mark.parametrize("command", [b"USER a\r\nDELE 1", b"USER a\nb"])
def test_a_line_break_never_gets_out(line: Line, command: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        line.wire.command(command)
