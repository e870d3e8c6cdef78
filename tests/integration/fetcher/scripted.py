"""Mail servers that misbehave on purpose; what they were told is kept."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

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


@dataclass
class Maildrop:
    """A POP3 server in the clear. Bytes of a mail are sent as they are, dots already doubled."""

    mails: list[bytes]
    uidls: list[bytes] | None = None
    """None: no UIDL."""
    breaks_at: set[bytes] = field(default_factory=set)
    """The connection ends in the middle of these."""
    refuses: set[bytes] = field(default_factory=set)
    refusal: bytes = b"-ERR [SYS/PERM] unreadable"
    hangs_up_after: int | None = None
    """So many commands of one login."""
    quit_answer: bytes = b"+OK"
    sizes: dict[bytes, int] = field(default_factory=dict)
    """Lies in LIST."""

    def __call__(self, session: Session) -> None:
        mails = list(self.mails)
        uidls = list(self.uidls or [])
        deleted: set[int] = set()
        session.say(b"+OK")
        commands = 0
        while line := session.hear():
            commands += 1
            if self.hangs_up_after is not None and commands > self.hangs_up_after:
                return
            word, *arguments = line.split()
            if word == b"LIST":
                sizes = [self.sizes.get(mail, len(mail)) for mail in mails]
                session.say(b"+OK", *(b"%d %d" % pair for pair in enumerate(sizes, 1)), b".")
            elif word == b"STAT":
                session.say(b"+OK %d %d" % (len(mails), sum(map(len, mails))))
            elif word == b"UIDL" and self.uidls is None:
                session.say(b"-ERR what?")
            elif word == b"UIDL":
                session.say(b"+OK", *(b"%d %s" % pair for pair in enumerate(uidls, 1)), b".")
            elif word in (b"RETR", b"TOP"):
                self._give(session, mails[int(arguments[0]) - 1])
            elif word == b"DELE":
                deleted.add(int(arguments[0]) - 1)
                session.say(b"+OK")
            elif word == b"QUIT":
                if self.quit_answer == b"+OK":
                    self.mails = [mail for number, mail in enumerate(mails) if number not in deleted]
                    self.uidls = [uidl for number, uidl in enumerate(uidls) if number not in deleted] or self.uidls
                session.say(self.quit_answer)
                return
            else:
                session.say(b"+OK")

    def _give(self, session: Session, mail: bytes) -> None:
        if mail in self.refuses:
            session.say(self.refusal)
        elif mail in self.breaks_at:
            session.connection.sendall(b"+OK\r\n" + mail[: len(mail) // 2])
            session.connection.shutdown(socket.SHUT_RDWR)
        else:
            session.connection.sendall(b"+OK\r\n" + mail + b".\r\n")
