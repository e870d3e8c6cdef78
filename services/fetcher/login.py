"""How an account proves who it is; a token instead of a password will be a second class here."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from imapclient.exceptions import LoginError

from services.fetcher.emptying import require_sendable
from services.fetcher.pop3_wire import Pop3Refused, Pop3Wire


class Login(Protocol):
    """Sends credentials over a connection that is already as safe as the account demands.

    Lets through what the protocol's client raises when the server says no.
    """

    @property
    def user(self) -> str:
        """Who logs in, for error messages."""

    def log_in_pop3(self, wire: Pop3Wire) -> None: ...

    def log_in_imap(self, client: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """USER and PASS (RFC 1939 §7), LOGIN (RFC 3501 §6.2.3), AUTHENTICATE PLAIN where ASCII does not do."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        require_sendable(self.user, "the user name")
        require_sendable(self.password, "the password")

    def log_in_pop3(self, wire: Pop3Wire) -> None:
        wire.command(b"USER " + self.user.encode())
        try:
            wire.command(b"PASS " + self.password.encode())
        except Pop3Refused as exc:
            raise Pop3Refused(self._without_password(str(exc))) from None

    def log_in_imap(self, client: Any) -> None:
        if self.user.isascii() and self.password.isascii():
            # imaplib quotes the password, and puts the user name into the command as it is
            escaped = self.user.replace("\\", "\\\\").replace('"', '\\"')
            send = partial(client.login, f'"{escaped}"', self.password)
        else:
            send = partial(client.plain_login, self.user, self.password)
        try:
            send()
        except LoginError as exc:
            raise LoginError(self._without_password(str(exc))) from None

    def _without_password(self, said: str) -> str:
        """What a server says is shown and stored; some repeat what they were sent."""
        return said.replace(self.password, "…") if self.password else said
