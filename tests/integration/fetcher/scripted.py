"""Mail servers that misbehave on purpose; what they were told is kept."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Script = Callable[["Session"], None]


@dataclass
class Session:
    """One client's connection."""

    connection: socket.socket
    heard: list[bytes]
    _buffer: bytes = b""

    def say(self, *lines: bytes) -> None:
        self.connection.sendall(b"".join(line + b"\r\n" for line in lines))

    def hear(self) -> bytes:
        """The next line, empty at the end."""
        while b"\n" not in self._buffer:
            piece = self.connection.recv(4096)
            if not piece:
                return b""
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.heard.append(line.rstrip(b"\r"))
        return self.heard[-1]

    def trickle(self, text: bytes) -> None:
        """Never silent for long, and never done: 20 bytes a second, again and again."""
        pace = threading.Event()
        while True:
            for byte in text:
                self.connection.sendall(bytes([byte]))
                pace.wait(0.05)

    def deafen(self) -> None:
        """Throw away what was sent together with the last line."""
        self._buffer = b""

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.connection = context.wrap_socket(self.connection, server_side=True)


@dataclass
class Scripted:
    port: int
    heard: list[bytes]


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Scripted]:
    """A server on 127.0.0.1 that runs the script for every client."""
    heard: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            session = Session(self.request, heard)
            with contextlib.suppress(OSError):
                script(session)
            with contextlib.suppress(OSError):
                session.connection.close()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Scripted(server.server_address[1], heard)
        finally:
            server.shutdown()
            thread.join()
