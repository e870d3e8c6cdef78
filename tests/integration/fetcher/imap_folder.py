"""An IMAP server with one folder, that misbehaves as it is told."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.integration.fetcher.scripted import Session


@dataclass
class ImapFolder:
    r"""In the clear. The n-th mail has the UID n + 10. What is stored as \Deleted goes at UID EXPUNGE."""

    mails: list[bytes]
    greeting: bytes = b"* OK hello"
    uidvalidity: int = 1
    uidvalidity_said: bytes | None = None
    """Instead of it; empty: not a word of it."""
    exists: int | None = None
    """Lies in EXISTS."""
    dates: dict[bytes, bytes] = field(default_factory=dict)
    """INTERNALDATE of these."""
    flips: bool = False
    """Every login sees another UIDVALIDITY."""
    breaks_at: set[bytes] = field(default_factory=set)
    """The connection ends in the middle of these."""
    refuses: set[bytes] = field(default_factory=set)
    """NO to every command that asks for one of these."""
    byes_at: set[bytes] = field(default_factory=set)
    more: dict[bytes, int] = field(default_factory=dict)
    """Their literal says so many bytes more than there are."""
    sizes: dict[bytes, int] = field(default_factory=dict)
    """Lies in RFC822.SIZE."""
    long_line: set[bytes] = field(default_factory=set)
    """These come in quotes, in a line that never ends."""
    endless_listing: bool = False
    drops_every: int = 0
    """The connection ends at every such command, counted over all logins."""
    trickles_at: bytes = b""
    """This command is answered byte by byte, for ever; `greeting` is one, too."""
    commands: int = 0

    def __call__(self, session: Session) -> None:
        if self.flips:
            self.uidvalidity += 1
        if self.trickles_at == b"greeting":
            session.trickle(b"* OK hello ")
        stored: set[int] = set()
        session.say(self.greeting)
        while line := session.hear():
            self.commands += 1
            if self.drops_every and self.commands % self.drops_every == 0:
                return
            tag, word, *arguments = line.split()
            if word == self.trickles_at or (word == b"UID" and arguments[0] == self.trickles_at):
                session.trickle(b"* OK ")
            if word == b"CAPABILITY":
                session.say(b"* CAPABILITY IMAP4rev1 UIDPLUS")
            elif word in (b"SELECT", b"EXAMINE"):
                session.say(b"* %d EXISTS" % (len(self.mails) if self.exists is None else self.exists))
                valid = b"%d" % self.uidvalidity if self.uidvalidity_said is None else self.uidvalidity_said
                if valid:
                    session.say(b"* OK [UIDVALIDITY %s] valid" % valid)
            elif word == b"FETCH":
                self._list(session, arguments[0])
            elif word == b"UID" and arguments[0] == b"STORE":
                stored = {int(uid) for uid in arguments[1].split(b",")}
            elif word == b"UID" and arguments[0] == b"EXPUNGE":
                self.mails = [mail for number, mail in enumerate(self.mails, 1) if number + 10 not in stored]
            elif word == b"UID" and arguments[0] == b"FETCH" and arguments[2] == b"(UID)":
                pass
            elif word == b"UID" and arguments[0] == b"FETCH" and not self._give(session, arguments[1]):
                session.say(tag + b" NO cannot")
                continue
            session.say(tag + b" OK done")

    def _list(self, session: Session, numbers: bytes) -> None:
        first, last = (int(number) for number in re.findall(rb"\d+", numbers))
        for number in range(first, min(last, len(self.mails)) + 1):
            mail = self.mails[number - 1]
            size = self.sizes.get(mail, len(mail))
            session.say(b"* %d FETCH (UID %d RFC822.SIZE %d)" % (number, number + 10, size))
        while self.endless_listing:
            session.connection.sendall(b"* 1 FETCH (UID 11 RFC822.SIZE 1)\r\n" * 1_000)

    def _give(self, session: Session, uids: bytes) -> bool:
        wanted = list(self._wanted(uids))
        if any(mail in self.refuses for _, mail in wanted):
            return False
        for number, mail in wanted:
            date = self.dates.get(mail, b"17-Jul-2026 02:44:25 +0000")
            head = b'* %d FETCH (UID %d INTERNALDATE "%s" BODY[]<0> ' % (number, number + 10, date)
            cut = mail[: 512 * 1024 + 1]
            if mail in self.byes_at:
                session.say(b"* BYE shutting down")
                session.connection.shutdown(socket.SHUT_RDWR)
            elif mail in self.breaks_at:
                session.connection.sendall(head + b"{%d}\r\n" % len(cut) + cut[: len(cut) // 2])
                session.connection.shutdown(socket.SHUT_RDWR)
            elif mail in self.long_line:
                session.connection.sendall(head + b'"' + b"y" * 1_500_000)
                session.say(b'")')
            else:
                session.connection.sendall(head + b"{%d}\r\n" % (len(cut) + self.more.get(mail, 0)) + cut + b")\r\n")
        return True

    def _wanted(self, uids: bytes) -> Iterator[tuple[int, bytes]]:
        for uid in uids.split(b","):
            number = int(uid) - 10
            if 1 <= number <= len(self.mails):
                yield number, self.mails[number - 1]
