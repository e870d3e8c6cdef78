"""`mailroom lists login`: a person, or a script, gives what an account needs to log in with OAuth2 tokens."""

import getpass
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from services.commands.terminal import configure_logs, open_for_writing, refusals
from services.fetcher.endpoint import Endpoint, Tls
from services.fetcher.errors import MailboxError
from services.fetcher.grants import (
    GOOGLE_SCOPE,
    GOOGLE_TOKENS,
    MICROSOFT,
    GoogleService,
    Grant,
    MicrosoftApp,
    MicrosoftUser,
    Obtained,
    RefreshToken,
    read_service_key,
)
from services.fetcher.lists import BounceAccount
from services.fetcher.lists_sql import SqlLists
from services.fetcher.login import TokenLogin
from services.fetcher.opening import open_mailbox
from services.fetcher.tokens_sql import SqlTokens
from shared.errors import ConfigurationError
from shared.secrets import open_secret_box

WAYS: Final = ("microsoft-app", "microsoft-user", "google-service", "refresh-token")
_USUAL: Final = (
    (re.compile(r"(?:^|\.)(?:office365|outlook)\.com$", re.IGNORECASE), "microsoft-app"),
    (re.compile(r"(?:^|\.)(?:gmail|googlemail)\.com$", re.IGNORECASE), "google-service"),
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was given as options; what was not is asked for, where there is somebody to ask."""

    given: Mapping[str, Any]

    def text(self, name: str, question: str, default: str | None = None) -> str:
        """A line, as it stands in a portal."""
        return str(self.given.get(name) or _ask(name, question, default)).strip()

    def secret(self, name: str, question: str) -> str:
        """From a file, or typed without being shown."""
        path = self.given.get(name)
        text = path.read_text(encoding="utf-8") if path else _ask(name, question, is_hidden=True)
        return text.strip()


def _ask(
    name: str,
    question: str,
    default: str | None = None,
    *,
    is_hidden: bool = False,
    choices: Sequence[str] | None = None,
) -> str:
    """A person's answer, or a script's next line. Raises ConfigurationError when there is neither."""
    try:
        with warnings.catch_warnings():  # a script's line is echoed nowhere
            warnings.simplefilter("ignore", getpass.GetPassWarning)
            kind = click.Choice(choices) if choices else str
            return str(click.prompt(question, default=default, hide_input=is_hidden, err=True, type=kind))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        option = f"--{name.replace('_', '-')}"
        raise ConfigurationError(f"nobody answers here: give {option}") from None


@dataclass(frozen=True, slots=True)
class OneToken:
    """The token source of a login that is only being tried."""

    access_token: str = field(repr=False)

    def token(self, account: str) -> str:
        """The one."""
        return self.access_token

    def renew(self, account: str, refused: str) -> bool:
        """There is no other."""
        return False


def _microsoft_app(answers: Answers, _user: str) -> tuple[Grant, Obtained]:
    grant = MicrosoftApp(
        tenant=answers.text("tenant", "Directory (tenant) ID"),
        client_id=answers.text("client_id", "Application (client) ID"),
        client_secret=answers.secret("client_secret_file", "Client secret (its value, not its ID)"),
        authority=answers.given["authority"],
    )
    return grant, grant.obtain()


def _microsoft_user(answers: Answers, user: str) -> tuple[Grant, Obtained]:
    grant = MicrosoftUser(
        tenant=answers.text("tenant", "Directory (tenant) ID", "organizations"),
        client_id=answers.text("client_id", "Application (client) ID"),
        authority=answers.given["authority"],
    )
    flow = grant.begin_device_login()
    click.echo(f"{flow['message']}\nLog in there as {user}; this command waits.", err=True)
    return grant, grant.end_device_login(flow)


def _google_service(answers: Answers, user: str) -> tuple[Grant, Obtained]:
    path = answers.given.get("key_file") or Path(_ask("key_file", "The service account's key, a JSON file"))
    key = path.expanduser().read_text(encoding="utf-8", errors="replace")
    read_service_key(key)
    grant = GoogleService(key, subject=user)
    return grant, grant.obtain()


def _refresh_token(answers: Answers, _user: str) -> tuple[Grant, Obtained]:
    grant = RefreshToken(
        token_uri=answers.text("token_uri", "Token endpoint", GOOGLE_TOKENS),
        client_id=answers.text("client_id", "Client ID"),
        client_secret=answers.secret("client_secret_file", "Client secret"),
        scope=answers.text("scope", "Scope", GOOGLE_SCOPE),
    )
    refresh_token = answers.secret("refresh_token_file", "Refresh token")
    obtained = grant.obtain(refresh_token)
    return grant, Obtained(obtained.access_token, obtained.lifetime, obtained.refresh_token or refresh_token)


_BY_WAY: Final[Mapping[str, Callable[[Answers, str], tuple[Grant, Obtained]]]] = dict(
    zip(WAYS, (_microsoft_app, _microsoft_user, _google_service, _refresh_token), strict=True)
)


def _find(engine: Engine, name: str) -> BounceAccount:
    """The account of that list, or of that name."""
    stored = SqlLists(engine)
    account = stored.account_of(name)
    found = stored.find_account(account)
    if found is None:
        raise ConfigurationError(
            f"there is no list or bounce account {name!r}: `mailroom lists add … --oauth2` makes one"
        )
    if found.account.tls == Tls.NONE:
        raise ConfigurationError(
            f"{found.account.host} is read without encryption, and a token is never sent that way: "
            f"`mailroom lists edit {name} --tls implicit`"
        )
    return found.account


def _try(account: BounceAccount, access_token: str) -> int:
    """How many mails there are. Raises MailboxError."""
    endpoint = Endpoint(account.protocol, account.host, account.port, account.tls, ca_pem=account.ca_pem)
    login = TokenLogin(account.user, account.name, OneToken(access_token))
    with open_mailbox(endpoint, login, account.folder, to_clean=False) as opened:
        count = opened.count()
        opened.logout()
        return count


def _usual_way(host: str) -> str:
    return next((way for pattern, way in _USUAL if pattern.search(host)), "refresh-token")


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("login", epilog="Example: mailroom lists login weekly --way microsoft-app")
@click.argument("name", metavar="LIST")
@click.option("--way", type=click.Choice(WAYS), help="Who gives the tokens, and to whom; asked for otherwise.")
@click.option("--tenant", metavar="ID", help="Microsoft: the directory.")
@click.option("--client-id", metavar="ID", help="The application that is registered there.")
@click.option("--client-secret-file", type=_FILE, help="Its secret; without this it is asked for, and not shown.")
@click.option("--key-file", type=_FILE, help="Google: the JSON key of a service account.")
@click.option("--refresh-token-file", type=_FILE, help="A refresh token that was made elsewhere.")
@click.option("--token-uri", metavar="URL", help="Who turns it into access tokens; Google by default.")
@click.option("--scope", metavar="WORDS", help="What it is for; Google's mail by default.")
@click.option("--authority", metavar="URL", default=MICROSOFT, show_default=True, help="Microsoft, in other clouds.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def lists_login(name: str, way: str | None, database: str | None, **given: Any) -> None:
    """Log a bounce account in with OAuth2 instead of a password. LIST may also be an account's own name.

    Asks for what was registered at the provider, tries the mailbox at once, and keeps the login, sealed, when that opened.
    Nothing changes when it did not. docs/logins.md says what to register.
    """
    with refusals():
        configure_logs("lists login")
        engine = open_for_writing(database, must_exist=True)
        box = open_secret_box(os.environ)
        account = _find(engine, name)
        way = way or _ask("way", "Who gives the tokens", _usual_way(account.host), choices=WAYS)
        grant, obtained = _BY_WAY[way](Answers(given), account.user)
        try:
            count = _try(account, obtained.access_token)
        except MailboxError as exc:
            raise ConfigurationError(f"a token was given, but nothing was kept: {exc}") from exc
        SqlTokens(engine, box, account.secret_purpose).log_in(account.name, grant, obtained)
        engine.dispose()
    click.echo(f"{account.name}: {account.user} is logged in at {account.host} with a token; {count:,} mails")
