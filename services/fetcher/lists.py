"""Contact lists and their bounce accounts: what they are made of, and when two accounts are one mailbox. Pure."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.fetcher.emptying import Empty, read_emptying, require_sendable
from services.fetcher.endpoint import Endpoint, Protocol, Tls, default_port
from services.fetcher.login_factory import PASSWORD
from shared.addresses import normalise_address
from shared.errors import ConfigurationError

_LIST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_LABELS: Final = {"title": 255, "user name": 320, "folder": 255, "'empty inbox when done'": 300}
DEFAULT_INTERVAL_S: Final = 900


@dataclass(frozen=True, slots=True)
class BounceAccount:
    """A mailbox that bounces come to, as it is stored, without its secret."""

    name: str
    protocol: Protocol
    host: str
    port: int
    tls: Tls
    user: str
    login: str = PASSWORD
    ca_pem: str = ""
    folder: str = ""
    """Empty on POP3."""
    empty: str = Empty.BOUNCES.value
    """As `read_emptying` reads it."""
    interval_s: int = DEFAULT_INTERVAL_S
    """0: only when asked."""
    is_active: bool = True

    @property
    def mailbox(self) -> tuple[str, str, str]:
        """Equal for two accounts that would read the same mails: POP3 reads what IMAP calls INBOX."""
        return self.host.lower(), self.user, _folded(self.folder or "INBOX")

    @property
    def secret_purpose(self) -> str:
        """What its secret is sealed for: nobody has it sent elsewhere, or in the clear, by changing the row."""
        authority = hashlib.sha256(self.ca_pem.encode()).hexdigest() if self.ca_pem else "public"
        way = f"{self.protocol.value} {self.port} {self.tls.value} {authority}"
        return f"the account {self.name!r}\n{self.user}\n{self.host}\n{way}"


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list that is mailed."""

    list_id: str
    bounce_email: str
    title: str = ""
    account: str | None = None


def _folded(folder: str) -> str:
    """INBOX has one name in any case (RFC 9051 §5.1); other folders are as they are written."""
    return "INBOX" if folder.upper() == "INBOX" else folder


def read_server(text: str) -> tuple[str, int | None]:
    """`host` or `host:port`; an IPv6 address in brackets if there is a port. Raises ConfigurationError."""
    host, port = text.strip(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigurationError(f"{text!r} is no server: write host, host:port or [address]:port")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
        if not port:
            raise ConfigurationError(f"{text!r} ends before its port")
    host = host.rstrip(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ConfigurationError(f"{text!r} is no host name") from None
    if not _HOST.fullmatch(host):
        raise ConfigurationError(f"{text!r} is no host name: write it as in pop.example.com or pop.example.com:995")
    if port and not (port.isdecimal() and port.isascii() and 0 < int(port[:6]) < 65536):
        raise ConfigurationError(f"{port!r} is no port number: give host or host:port, and no scheme")
    return host, int(port) if port else None


def told(account: BounceAccount, before: BounceAccount | None = None) -> str:
    """The settings, or those that are others than before: for people, so without what is secret."""
    now, then = _settings(account), _settings(before) if before else {}
    changed = {name: value for name, value in now.items() if then.get(name) != value}
    return ", ".join(f"{name} {value}" for name, value in changed.items())


def _settings(account: BounceAccount) -> dict[str, str]:
    return {
        "server": f"{account.host}:{account.port}",
        "user": account.user,
        "type": account.protocol.value,
        "tls": account.tls.value,
        "authority": "its own" if account.ca_pem else "public",
        "login": account.login,
        "folder": account.folder or "INBOX",
        "emptying": account.empty,
        "every": f"{account.interval_s} s",
        "automatic": "yes" if account.is_active else "no",
    }


def check_list(one: ContactList) -> None:
    """Raises ConfigurationError that says what is wrong with it."""
    if not _LIST_ID.fullmatch(one.list_id):
        raise ConfigurationError(
            f"{one.list_id!r} is no name of a list: at most 64 of letters, digits, '.', '_' and '-', not beginning with a sign"
        )
    _require_text("title", one.title)
    normalise_address(one.bounce_email)


def check_account(account: BounceAccount) -> None:
    """Raises ConfigurationError that says what is wrong with it."""
    if not account.user:
        raise ConfigurationError("the user name is missing")
    for label, text in (
        ("user name", account.user),
        ("folder", account.folder),
        ("'empty inbox when done'", account.empty),
    ):
        _require_text(label, text)
    emptying = read_emptying(account.empty)
    if account.protocol == Protocol.POP3:
        if account.folder:
            raise ConfigurationError("POP3 knows no folders: leave the folder out, or choose IMAP")
        if emptying.empty == Empty.MOVE:
            raise ConfigurationError("POP3 cannot move mails: choose bounces, all or nothing, or IMAP")
    elif not account.folder:
        raise ConfigurationError("the folder is missing: it is INBOX as a rule")
    elif emptying.empty == Empty.MOVE and _folded(emptying.folder) == _folded(account.folder):
        raise ConfigurationError(
            f"the mails would be moved to {emptying.folder!r}, the folder that is read, and be found again: name another one"
        )
    if account.ca_pem:
        Endpoint(account.protocol, account.host, account.port, account.tls, ca_pem=account.ca_pem).context()


def account_name(list_id: str, is_taken: Callable[[str], bool]) -> str:
    """The list's own name, or the first of `name-2`, `name-3`, … that never named another mailbox."""
    name, number = list_id, 1
    while is_taken(name):
        number += 1
        name = f"{list_id}-{number}"
    return name


@dataclass(frozen=True, slots=True)
class Way:
    """One way to connect that may be tried."""

    port: int
    tls: Tls


def ways(protocol: Protocol, port: int | None = None, tls: Tls | None = None) -> Sequence[Way]:
    """What is tried, in this order. None for `tls` is auto detect, None for `port` is the usual one.

    TLS that is verified, from the first byte (RFC 8314 §3), then STARTTLS; auto detect never tries a connection without
    TLS. A usual port stands for its own kind of TLS.
    """
    if tls is not None:
        return [Way(port or default_port(protocol, tls), tls)]
    kinds = [Tls.IMPLICIT, Tls.STARTTLS]
    if port is None:
        return [Way(default_port(protocol, kind), kind) for kind in kinds]
    if port in (default_port(other, Tls.IMPLICIT) for other in Protocol):
        kinds = [Tls.IMPLICIT]
    elif port in (default_port(other, Tls.STARTTLS) for other in Protocol):
        kinds = [Tls.STARTTLS]
    return [Way(port, kind) for kind in kinds]


def _require_text(label: str, text: str) -> None:
    require_sendable(text, f"the {label}")
    if len(text) > _LABELS[label]:
        raise ConfigurationError(f"the {label} is longer than {_LABELS[label]} characters")
    if not text.isprintable():
        raise ConfigurationError(f"the {label} holds a control character")
