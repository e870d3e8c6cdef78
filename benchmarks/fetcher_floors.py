"""What the standard library alone does with the same mailbox: log in, list, read every mail, hash it."""

import hashlib
import imaplib
import poplib
import re
import ssl
from pathlib import Path
from typing import Final

from services.fetcher.endpoint import Protocol, Tls

LIST_CHUNK: Final = 500
_UID: Final = re.compile(rb"UID (\d+)")


def read_bare(
    protocol: Protocol, host: str, port: int, ca_file: Path, login: tuple[str, str], together: int, tls: Tls
) -> int:
    """How many mails there were; `together` of them in one command, which poplib cannot."""
    context = ssl.create_default_context(cafile=str(ca_file))
    if protocol == Protocol.POP3:
        if tls == Tls.IMPLICIT:
            return _read_poplib(poplib.POP3_SSL(host, port, context=context), *login)
        pop3 = poplib.POP3(host, port)
        pop3.stls(context)
        return _read_poplib(pop3, *login)
    if tls == Tls.IMPLICIT:
        return _read_imaplib(imaplib.IMAP4_SSL(host, port, ssl_context=context), *login, together)
    imap = imaplib.IMAP4(host, port)
    imap.starttls(context)
    return _read_imaplib(imap, *login, together)


def _read_poplib(client: poplib.POP3, user: str, password: str) -> int:
    client.user(user)
    client.pass_(password)
    client.uidl()
    numbers = [int(line.split()[0]) for line in client.list()[1]]
    for number in numbers:
        hashlib.sha256(b"\r\n".join(client.retr(number)[1])).hexdigest()
    client.quit()
    return len(numbers)


def _read_imaplib(client: imaplib.IMAP4, user: str, password: str, together: int) -> int:
    client.login(user, password)
    exists = int(client.select("INBOX", readonly=True)[1][0] or b"0")
    uids: list[str] = []
    for first in range(1, exists + 1, LIST_CHUNK):
        numbers = f"{first}:{min(first + LIST_CHUNK - 1, exists)}"
        uids += [
            found[1].decode() for line in client.fetch(numbers, "(UID RFC822.SIZE)")[1] if (found := _UID.search(line))
        ]
    read = 0
    for first in range(0, len(uids), together):
        for part in client.uid("FETCH", ",".join(uids[first : first + together]), "(INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(part, tuple):
                hashlib.sha256(part[1]).hexdigest()
                read += 1
    client.logout()
    return read
