"""A private Dovecot: POP3 and IMAP, with implicit TLS, STARTTLS and in the clear, over one Maildir a user."""

import base64
import contextlib
import hmac
import itertools
import json
import os
import poplib
import pwd
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import certificates, choosing, finding
from tests.servers.dovecot_configuration import configuration
from tests.servers.server import Program, Server
from tests.servers.waiting import eventually

PACKAGES = ["dovecot-pop3d", "dovecot-imapd"]
HOST = "localhost"
EMPTY: Mapping[str, str] = {}


class DovecotServer(Server):
    """Reachable as localhost and as 127.0.0.1. STARTTLS and logins in the clear share `pop3_port` and `imap_port`."""

    name = "dovecot"
    host = HOST

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        self.pop3_port, self.pop3s_port, self.imap_port, self.imaps_port = (finding.free_port() for _ in range(4))
        self.certificates = certificates.make(self.directory, HOST)
        # As root, the mail belongs to somebody who is not; else everything belongs to whoever runs the tests.
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        # A file a user: a single file that grows is read again only when its time stamp, in seconds, has changed.
        self._users = self.directory / "users"
        self._make_folder(self._users)
        self._mail = self.directory / "mail"
        self._make_folder(self._mail)
        self._deliveries = itertools.count(1)
        # Dovecot looks for the key of a token under AZP/ALG/KID, each "default" where the token does not say.
        self.token_keys = self.directory / "keys"
        self._token_key = secrets.token_bytes(32)
        key = self.token_keys / "default" / "HS256" / "default"
        for folder in (self.token_keys, key.parent.parent, key.parent):
            self._make_folder(folder)
        key.write_bytes(base64.b64encode(self._token_key))
        os.chown(key, self._owner.pw_uid, self._owner.pw_gid)

    @property
    def ca_file(self) -> Path:
        """For `ssl.create_default_context(cafile=…)`."""
        return self.certificates.ca_file

    def add_user(self, user: str, password: str) -> None:
        """A login with an empty mailbox; it works at once."""
        (self._users / user).write_text(f"{user}:{{PLAIN}}{password}\n")
        os.chown(self._users / user, self._owner.pw_uid, self._owner.pw_gid)
        self._folder(user, "INBOX")

    def change_password(self, user: str, password: str) -> None:
        """It holds when this returns: Dovecot looks once a second whether the file has another time stamp, in seconds."""
        file = self._users / user
        before = file.stat().st_mtime
        self.add_user(user, password)
        os.utime(file, (before + 2, before + 2))
        eventually(lambda: self._takes(user, password), "the new password", ignoring=(poplib.error_proto,))

    def _takes(self, user: str, password: str) -> bool:
        with contextlib.closing(poplib.POP3("127.0.0.1", self.pop3_port, timeout=10)) as client:
            client.user(user)
            return client.pass_(password).startswith(b"+OK")

    def mailbox(self, user: str, password: str = "secret of the tests") -> "Mailbox":
        """A new user's mailbox."""
        self.add_user(user, password)
        return Mailbox(self, user, password)

    def token(self, user: str, *, lifetime_s: int = 3600, claims: Mapping[str, str] = EMPTY) -> str:
        """An access token for this user (a JWT, RFC 7519) that the server takes until it expires; each is another."""
        now = int(time.time())
        standard = {
            "sub": user,
            "iat": min(now, now + lifetime_s) - 1,
            "exp": now + lifetime_s,
            "jti": secrets.token_hex(16),
        }
        parts = (
            _base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "HS256"}, standard | dict(claims))
        )
        signed = b".".join(parts)
        return (signed + b"." + _base64url(hmac.digest(self._token_key, signed, "sha256"))).decode()

    def deliver(self, user: str, mail: bytes, *, folder: str = "INBOX", received_at: float | None = None) -> str:
        """Put a mail into the mailbox as a delivery agent does: written to tmp/, then renamed into new/.

        `received_at` (Unix time) becomes IMAP's INTERNALDATE. Gives the name of the file.
        """
        maildir = self._folder(user, folder)
        name = f"{int(time.time())}.M{next(self._deliveries)}P{os.getpid()}.{HOST},S={len(mail)}"
        written = maildir / "tmp" / name
        written.write_bytes(mail)
        if received_at is not None:
            os.utime(written, (received_at, received_at))
        os.chown(written, self._owner.pw_uid, self._owner.pw_gid)
        written.rename(maildir / "new" / name)
        return name

    def mails(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """What is in the mailbox now, oldest delivery first; a mail marked as deleted and not expunged is in it."""
        maildir = self._folder(user, folder)
        while True:
            files = [file for part in ("new", "cur") for file in (maildir / part).iterdir()]
            files.sort(key=lambda file: _delivery_order(file.name))
            try:
                return [file.read_bytes() for file in files]
            except FileNotFoundError:
                continue  # Dovecot renamed it to set a flag

    def folders(self, user: str) -> list[str]:
        """INBOX and the folders that exist beside it."""
        return ["INBOX", *sorted(path.name[1:] for path in (self._mail / user).glob(".[!.]*") if path.is_dir())]

    def launch(self) -> Program:
        binary = _binary()
        assert binary is not None
        file = self.directory / "dovecot.conf"
        version = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout
        file.write_text(configuration(self, version))
        return Program([binary, "-F", "-c", file], self.log)

    def answers(self) -> bool:
        return all(_greets(port, greeting) for port, greeting in ((self.pop3_port, b"+OK"), (self.imap_port, b"* OK")))

    @property
    def owner(self) -> pwd.struct_passwd:
        """The system user to whom all mail belongs."""
        return self._owner

    def _folder(self, user: str, folder: str) -> Path:
        """The Maildir of a folder (Maildir++: `.name` beside the inbox), made if it is not there."""
        path = self._mail / user if folder == "INBOX" else self._mail / user / f".{folder}"
        for one in (self._mail / user, path, *(path / part for part in ("tmp", "new", "cur"))):
            self._make_folder(one)
        return path

    def _make_folder(self, path: Path) -> None:
        if not path.exists():
            path.mkdir(mode=0o700)
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)


@dataclass(frozen=True)
class Mailbox:
    """One user's mailbox, and what a client needs to open it."""

    server: DovecotServer
    user: str
    password: str

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def ca_file(self) -> Path:
        return self.server.ca_file

    def deliver(self, mail: bytes, *, folder: str = "INBOX", received_at: float | None = None) -> str:
        return self.server.deliver(self.user, mail, folder=folder, received_at=received_at)

    def mails(self, folder: str = "INBOX") -> list[bytes]:
        return self.server.mails(self.user, folder)

    def folders(self) -> list[str]:
        return self.server.folders(self.user)


def _base64url(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _delivery_order(name: str) -> tuple[int, int]:
    seconds, middle, *_ = name.split(".")
    number = middle.removeprefix("M").partition("P")[0]
    return int(seconds), int(number) if number.isdigit() else 0


def _greets(port: int, greeting: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(4096).startswith(greeting)


def _binary() -> Path | None:
    return finding.program("dovecot", "/usr/sbin/dovecot")


def installed() -> bool:
    return _binary() is not None and all(
        finding.program(f"no-{name}", f"/usr/lib/dovecot/{name}", f"/usr/libexec/dovecot/{name}")
        for name in ("imap", "pop3")
    )


def start(directory: Path | None = None) -> AbstractContextManager[DovecotServer]:
    return choosing.running(DovecotServer, installed, PACKAGES, directory)
