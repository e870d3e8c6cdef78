"""How an account proves who it is: with a password, or with an OAuth2 access token."""

import ast
import base64
import re
import ssl
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from imapclient.exceptions import IMAPClientAbortError, LoginError

from services.fetcher.emptying import require_sendable
from services.fetcher.errors import LoginRefused, NotEncrypted, PasswordLoginGone, TokenRefused
from services.fetcher.pop3_wire import Pop3Refused, Pop3Wire
from services.fetcher.repeated import without_secret
from services.fetcher.xoauth2 import (
    MECHANISM,
    Challenge,
    initial_response,
    read_challenge,
    takes_no_password,
)
from shared.errors import ConfigurationError

_LOGIN_DISABLED: Final = "LOGINDISABLED"


class Login(Protocol):
    """Sends credentials over a connection that is already as safe as the account demands.

    `prepare` comes first, and once before each connection.

    Lets through what the protocol's client raises when the server says no; `refusal` says what that means.
    """

    @property
    def user(self) -> str:
        """Who logs in, for error messages."""

    def prepare(self, *, is_encrypted: bool) -> None:
        """What may take a while, before a server waits for it: a POP3 server hangs up on who is silent. Raises MailboxError."""

    def log_in_pop3(self, wire: Pop3Wire) -> None: ...

    def log_in_imap(self, client: Any) -> None: ...

    def refusal(self, host: str, said: str, methods: Set[str]) -> LoginRefused:
        """The class and the advice. `methods`: the server's IMAP capabilities, or `methods_of_pop3`; may be empty."""

    def renew(self) -> bool:
        """After a refusal: whether there is something else to try now."""


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """USER and PASS (RFC 1939 §7), LOGIN (RFC 3501 §6.2.3), AUTHENTICATE PLAIN where ASCII does not do."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        require_sendable(self.user, "the user name")
        require_sendable(self.password, "the password")

    def prepare(self, *, is_encrypted: bool) -> None:
        """A password is there."""

    def log_in_pop3(self, wire: Pop3Wire) -> None:
        wire.command(b"USER " + self.user.encode())
        try:
            wire.command(b"PASS " + self.password.encode())
        except Pop3Refused as exc:
            raise Pop3Refused(self._without_password(str(exc))) from None

    def log_in_imap(self, client: Any) -> None:
        if client.has_capability(_LOGIN_DISABLED):
            raise LoginError(_LOGIN_DISABLED)
        if self.user.isascii() and self.password.isascii():
            # imaplib quotes the password, and puts the user name into the command as it is
            escaped = self.user.replace("\\", "\\\\").replace('"', '\\"')
            send = partial(client.login, f'"{escaped}"', self.password)
        else:
            send = partial(client.plain_login, self.user, self.password)
        _send_imap(send, self._without_password)

    def _without_password(self, said: str) -> str:
        return without_secret(said, self.password)

    def refusal(self, host: str, said: str, methods: Set[str]) -> LoginRefused:
        """PasswordLoginGone where no password would do, or a plain LoginRefused."""
        if takes_no_password(host, said, methods):
            return PasswordLoginGone(
                f"{host} takes no password from {self.user} any more ({said or 'no reason given'}): use OAuth2, "
                "with `mailroom lists login NAME`"
            )
        if said == _LOGIN_DISABLED:
            return LoginRefused(f"{host} takes no password over this connection: set tls to implicit or starttls")
        return LoginRefused(
            f"{host} refused the login of {self.user}: {said.rstrip('.') or 'no reason given'}. Check user name and password"
        )

    def renew(self) -> bool:
        """A password is what it is."""
        return False


class TokenSource(Protocol):
    """Access tokens of the accounts, each good for a while. Raises MailboxError."""

    def token(self, account: str) -> str:
        """One that is valid now, as far as anybody but the mail server can tell."""

    def renew(self, account: str, refused: str) -> bool:
        """The mail server refused this token: whether there is another now."""


@dataclass(slots=True)
class TokenLogin:
    """AUTHENTICATE XOAUTH2, AUTH XOAUTH2 (RFC 5034); nothing is sent over a connection that is not encrypted.

    IMAP too waits for the server's empty challenge instead of using SASL-IR (RFC 4959): every server takes that, and the
    token is in no command line that a library might log.
    """

    user: str
    account: str
    tokens: TokenSource = field(repr=False)
    _sent: str = field(default="", init=False, repr=False)
    _challenge: Challenge = field(default=Challenge(), init=False)

    def __post_init__(self) -> None:
        if not self.user.isprintable():
            raise ConfigurationError("the user name holds a control character, which no mail server takes with a token")

    def prepare(self, *, is_encrypted: bool) -> None:
        """Ask for a token, which may take a minute; not where it could not be sent."""
        self._require(is_encrypted=is_encrypted)
        self._sent = self.tokens.token(self.account)

    def log_in_pop3(self, wire: Pop3Wire) -> None:
        self._require(is_encrypted=wire.is_encrypted)
        conversation = self._conversation()
        try:
            wire.authenticate(MECHANISM, conversation)
        except Pop3Refused as exc:
            raise Pop3Refused(self._without_token(str(exc))) from None

    def log_in_imap(self, client: Any) -> None:
        self._require(is_encrypted=isinstance(client.socket(), ssl.SSLSocket))
        conversation = self._conversation()
        _send_imap(partial(client.sasl_login, MECHANISM, conversation), self._without_token)

    def refusal(self, host: str, said: str, methods: Set[str]) -> LoginRefused:
        """TokenRefused, with what the server says that it misses."""
        if methods and f"AUTH={MECHANISM}" not in methods:
            return TokenRefused(
                f"{host} offers no {MECHANISM}, so it takes no token ({said or 'no reason given'}): "
                "set a password with `mailroom lists edit`"
            )
        cause = " ".join(filter(None, [said, self._challenge.status and f"(status {self._challenge.status})"]))
        scope = f" for the scope {self._challenge.scope}" if self._challenge.scope else ""
        return TokenRefused(
            f"{host} refused the token of {self.user}: {cause or 'no reason given'}. Is it meant{scope} and this mailbox? "
            "Microsoft: the application needs POP.AccessAsApp or IMAP.AccessAsApp with admin consent, a service principal in "
            "Exchange Online and permission on the mailbox. Google: https://mail.google.com/ in the domain-wide delegation. "
            f"Then, or for another user: mailroom lists login {self.account}"
        )

    def renew(self) -> bool:
        """Whether there is a token that was not refused yet."""
        return bool(self._sent) and self.tokens.renew(self.account, self._sent)

    def _require(self, *, is_encrypted: bool) -> None:
        if not is_encrypted:
            raise NotEncrypted(
                f"no token of {self.user} was sent: the connection is not encrypted. Set tls to implicit or starttls"
            )

    def _without_token(self, said: str) -> str:
        response = base64.b64encode(initial_response(self.user, self._sent)).decode("ascii")
        return without_secret(said, response, self._sent)

    def _conversation(self) -> Any:
        """Answers the empty challenge with the token, and one that says why it is refused with nothing."""
        self._challenge = Challenge()
        response = initial_response(self.user, self._sent)

        def respond(challenge: bytes) -> bytes:
            nonlocal response
            answer, response = response, b""
            if challenge and not answer:
                said = read_challenge(challenge)
                self._challenge = Challenge(self._without_token(said.status), self._without_token(said.scope))
            return answer

        return respond


_BYTES: Final = re.compile(r"""b('.*'|".*")""", re.DOTALL)


def _in_words(said: str) -> str:
    """imaplib tells what the server said as Python writes bytes."""
    if not _BYTES.fullmatch(said):
        return said
    try:
        return bytes(ast.literal_eval(said)).decode(errors="replace")
    except (ValueError, SyntaxError, TypeError):
        return said


def _send_imap(send: Callable[[], object], without_secrets: Callable[[str], str]) -> None:
    """IMAPClient says LoginError of everything; what imaplib knows better, that the connection broke, is let through again."""
    try:
        send()
    except LoginError as exc:
        is_broken = isinstance(exc.__context__, IMAPClientAbortError)
        said = without_secrets(_in_words(str(exc)))
        raise (IMAPClientAbortError(said) if is_broken else LoginError(said)) from None
