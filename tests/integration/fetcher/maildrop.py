"""A POP3 server that misbehaves as it is told."""

import socket
from dataclasses import dataclass, field

from tests.integration.fetcher.scripted import Session


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
    drops_every: int = 0
    """The connection ends at every such command, counted over all logins."""
    ignores_every: int = 0
    """No answer to every such RETR."""
    pipelines: bool = False
    is_deaf: bool = False
    """Of commands that come together only the first is heard."""
    answers_twice: set[bytes] = field(default_factory=set)
    ends: bytes = b".\r\n"
    endless: set[bytes] = field(default_factory=set)
    """These never end, without a line end."""
    trickles_at: bytes = b""
    """This command is answered byte by byte, for ever; `greeting` is one, too."""
    commands: int = 0
    retrieved: int = 0
    quit_answer: bytes = b"+OK"
    sizes: dict[bytes, int] = field(default_factory=dict)
    """Lies in LIST."""
    listed: tuple[bytes, ...] = ()
    """More lines of LIST."""

    def __call__(self, session: Session) -> None:
        mails = list(self.mails)
        uidls = list(self.uidls or [])
        deleted: set[int] = set()
        if self.trickles_at == b"greeting":
            session.trickle(b"+OK hello ")
        session.say(b"+OK")
        commands = 0
        while line := session.hear():
            commands += 1
            if self.hangs_up_after is not None and commands > self.hangs_up_after:
                return
            self.commands += 1
            if self.drops_every and self.commands % self.drops_every == 0:
                return
            word, *arguments = line.split()
            if self.is_deaf:
                session.deafen()
            if word == self.trickles_at:
                session.trickle(b"+OK ")
            if word == b"LIST":
                sizes = [self.sizes.get(mail, len(mail)) for mail in mails]
                session.say(b"+OK", *(b"%d %d" % pair for pair in enumerate(sizes, 1)), *self.listed, b".")
            elif word == b"CAPA":
                session.say(*([b"+OK", b"PIPELINING", b"."] if self.pipelines else [b"-ERR what?"]))
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
        self.retrieved += 1
        if self.ignores_every and self.retrieved % self.ignores_every == 0:
            return
        if mail in self.answers_twice:
            self.answers_twice.remove(mail)
            session.connection.sendall(b"+OK\r\n" + mail + self.ends)
        if mail in self.endless:
            session.connection.sendall(b"+OK\r\n" + mail.rstrip())
            while True:
                session.connection.sendall(b"x" * 65536)
        if mail in self.refuses:
            session.say(self.refusal)
        elif mail in self.breaks_at:
            session.connection.sendall(b"+OK\r\n" + mail[: len(mail) // 2])
            session.connection.shutdown(socket.SHUT_RDWR)
        else:
            session.connection.sendall(b"+OK\r\n" + mail + self.ends)
