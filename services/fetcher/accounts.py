"""The bounce accounts, from a TOML file: `[accounts.NAME]` with protocol, host, user, password and what else differs."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.fetcher.emptying import BOUNCES, Empty, Emptying, read_emptying, require_sendable
from services.fetcher.endpoint import Endpoint, Protocol, Tls, default_port
from services.fetcher.errors import UnknownAccount
from services.fetcher.login import Login, PasswordLogin
from shared.errors import ConfigurationError

_FIELDS: Final = frozenset(
    {"protocol", "host", "port", "user", "password", "password_file", "password_env", "tls", "ca_file", "folder"}
    | {"empty", "list_id"}
)
_PASSWORDS: Final = ("password", "password_file", "password_env")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_LIST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Account:
    """A bounce mailbox. Neither its text nor its `repr` holds the password."""

    name: str
    endpoint: Endpoint
    login: Login
    folder: str
    """Empty on POP3."""
    emptying: Emptying = BOUNCES
    list_id: str | None = None


class Accounts:
    """The accounts by name."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = dict(accounts)

    def find(self, name: str) -> Account:
        """Raises UnknownAccount."""
        try:
            return self._accounts[name]
        except KeyError:
            raise UnknownAccount(
                f"there is no account {name!r}: add it to the accounts file, restart the fetcher and replay this request"
            ) from None

    @property
    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._accounts)


def load_accounts(path: Path, variables: Mapping[str, str]) -> Accounts:
    """Read the file; paths in it are relative to it. Raises ConfigurationError with all that is wrong in it at once."""
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except OSError as exc:
        raise ConfigurationError(f"MAILROOM_ACCOUNTS_FILE names {path}, which cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path} is not TOML: {exc}") from exc
    tables = content.get("accounts", {})
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{path} has no account: each is a table [accounts.NAME]")
    accounts, problems = {}, []
    for name, table in tables.items():
        reader = _AccountReader(name, table if isinstance(table, dict) else {}, path.parent, variables)
        account = reader.read()
        problems += [f"{path}: account {name!r}: {problem}" for problem in reader.problems]
        if account is not None:
            accounts[name] = account
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Accounts(accounts)


class _AccountReader:
    def __init__(self, name: str, table: Mapping[str, Any], folder: Path, variables: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._name = name
        self._table = table
        self._folder = folder
        self._variables = variables

    def read(self) -> Account | None:
        for field in sorted(set(self._table) - _FIELDS):
            self._complain(field, "is no field of an account")
        if not self._name or len(self._name) > 255 or not self._name.isprintable():
            self._complain("name", "is empty, longer than 255 characters or unprintable")
        protocol = self._choice("protocol", Protocol, None)
        tls = self._choice("tls", Tls, Tls.IMPLICIT)
        host = self._text("host")
        if host and not _HOST.fullmatch(host):
            self._complain("host", f"is no host name: {host!r}")
        list_id = self._text("list_id", "")
        if list_id and not _LIST_ID.fullmatch(list_id):
            self._complain("list_id", f"is no slug of at most 64 characters: {list_id!r}")
        login = self._login()
        emptying = self._emptying(protocol)
        folder = self._text("folder", "" if protocol == Protocol.POP3 else "INBOX")
        if protocol == Protocol.POP3 and folder:
            self._complain("folder", "has no meaning on POP3")
        self._checked("folder", lambda: require_sendable(folder, "the name"))
        ca_file = self._text("ca_file", "")
        port = self._port()
        if self.problems or protocol is None or tls is None or login is None:
            return None
        endpoint = Endpoint(
            protocol, host, port or default_port(protocol, tls), tls, self._folder / ca_file if ca_file else None
        )
        self._checked("ca_file", endpoint.context)
        return None if self.problems else Account(self._name, endpoint, login, folder, emptying, list_id or None)

    def _login(self) -> Login | None:
        user = self._text("user")
        given = [field for field in _PASSWORDS if field in self._table]
        if len(given) != 1:
            self._complain("password", f"give exactly one of {', '.join(_PASSWORDS)}")
            return None
        value = self._text(given[0])
        if given[0] == "password_env":
            variable, value = value, self._variables.get(value, "")
            if variable and not value:
                named = (
                    f"the variable {variable}"
                    if _VARIABLE.fullmatch(variable)
                    else "no variable (is it the password itself?)"
                )
                self._complain("password_env", f"names {named}, which is not set")
        elif given[0] == "password_file" and value:
            try:
                value = (self._folder / value).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as exc:
                self._complain("password_file", f"cannot be read: {exc}")
                return None
        if not user or not value:
            return None
        try:
            return PasswordLogin(user, value)
        except ConfigurationError as exc:
            self._complain("user or password", str(exc))
            return None

    def _emptying(self, protocol: Protocol | None) -> Emptying:
        try:
            emptying = read_emptying(self._text("empty", Empty.BOUNCES))
        except ConfigurationError as exc:
            self._complain("empty", str(exc))
            return BOUNCES
        if emptying.empty == Empty.MOVE and protocol == Protocol.POP3:
            self._complain("empty", "POP3 cannot move mails: choose bounces, all or nothing")
        return emptying

    def _text(self, field: str, default: str | None = None) -> str:
        value = self._table.get(field, default)
        if value is None or (value == "" and default is None):
            self._complain(field, "is missing")
            return ""
        if not isinstance(value, str):
            self._complain(field, "is not text")
            return ""
        return value

    def _port(self) -> int:
        port = self._table.get("port", 0)
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 65536:
            self._complain("port", "is no port number")
            return 0
        return port

    def _choice(self, field: str, kind: Any, default: Any) -> Any:
        text = self._text(field, default)
        try:
            return kind(text)
        except ValueError:
            if text:
                self._complain(field, f"is {text!r}; it is one of {', '.join(kind)}")
            return None

    def _checked(self, field: str, check: Any) -> None:
        try:
            check()
        except ConfigurationError as exc:
            self._complain(field, str(exc))

    def _complain(self, field: str, problem: str) -> None:
        self.problems.append(f"{field}: {problem}")
