"""What every command needs of a terminal: errors that look alike, progress, and text of mails that cannot play tricks."""

import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from shared import logs
from shared.addresses import normalise_address
from shared.environment import Environment
from shared.errors import ConfigurationError, InvalidAddress, MailroomError
from shared.tables import connect, require_current, upgrade
from shared.tables.schema import DatabaseUnreachable, read_url

_PIPE_WIDTH: Final = 200
DEFAULT_DATABASE: Final = "sqlite:///mailroom.db"


class Refused(click.ClickException):
    """An error that a person can mend; exit status 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        """As every error."""
        complain(self.message)


def complain(text: str) -> None:
    """An error on standard error, with our name before each of its lines."""
    for line in printable(text).splitlines():
        click.echo(f"mailroom: {line}", err=True)


@contextmanager
def refusals() -> Iterator[None]:
    """Every error of ours ends the command with its own words instead of a traceback."""
    try:
        yield
    except MailroomError as exc:
        raise Refused(str(exc)) from exc
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise Refused(f"{exc.filename or 'the output'}: {exc.strerror or exc}") from exc


def printable(text: str) -> str:
    """The text with its control characters written out: a diagnostic must not move the cursor or recolour the terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def setting(name: str, default: str = "") -> str:
    """One optional variable of the environment, or of the file that NAME_FILE names."""
    environment = Environment(os.environ)
    value = environment.text(name, default)
    environment.check()
    return value


def required_setting(name: str, without: str = "") -> str:
    """One variable that the command cannot do without; `without` says what else can be done."""
    environment = Environment(os.environ)
    value = environment.text(name)
    try:
        environment.check()
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc}{without and '. '}{without}") from exc
    return value


def ask_password(whose: str) -> str:
    """From MAILROOM_PASSWORD, the file that MAILROOM_PASSWORD_FILE names, or the terminal, which does not show it."""
    password = setting("MAILROOM_PASSWORD")
    if password:
        return password
    if not sys.stdin.isatty():
        raise ConfigurationError("the account's password is missing: set MAILROOM_PASSWORD or MAILROOM_PASSWORD_FILE")
    return getpass.getpass(f"Password for {printable(whose)}: ", sys.stderr)


def configure_logs(command: str) -> None:
    """A command's own words are enough for a person: only errors are logged unless MAILROOM_LOG_LEVEL says otherwise."""
    logs.configure(command, setting("MAILROOM_LOG_LEVEL", "error"))


def open_for_writing(url: str | None, *, must_exist: bool = False) -> Engine:
    """The database; an SQLite file is made or brought up to date, PostgreSQL has to be migrated already.

    Only what records bounces makes a file: an empty one would answer that everybody may be mailed.
    """
    url = _told(url)
    engine = connect(url, must_exist=must_exist)
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    else:
        require_current(engine)
    return engine


def open_for_reading(url: str | None, *, may_be_away: bool = False, is_told: bool = True) -> Engine:
    """The database; one that is not there is an error, never an empty answer. With may_be_away, it need not answer now.

    Without is_told nothing is said about which it is: cron mails whatever is.
    """
    engine = connect(_told(url) if is_told else named_database(url), must_exist=True)
    try:
        require_current(engine)
    except DatabaseUnreachable:
        if not may_be_away:
            raise
    return engine


@contextmanager
def disposing(engine: Engine) -> Iterator[Engine]:
    """Its connections are closed at the end, also of a command that is refused."""
    try:
        yield engine
    finally:
        engine.dispose()


def has_default_database() -> bool:
    """Whether the current folder has the file that stands for no other database."""
    return Path(DEFAULT_DATABASE.removeprefix("sqlite:///")).is_file()


def named_database(url: str | None) -> str:
    """Which database a command works on."""
    return url or setting("MAILROOM_DATABASE_URL", DEFAULT_DATABASE)


def _told(url: str | None) -> str:
    url = named_database(url)
    parsed = read_url(url)
    where = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        where = str(Path(parsed.database).absolute())
    click.echo(f"database: {where}", err=True)
    return url


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Tell it how many more are done. Drawn on standard error, when that is a terminal."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(label, total=total, rate="")

        def advance(count: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=count, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Is told like any other output's end."""
        raise BrokenPipeError


def output() -> Console:
    """Standard output for tables; what goes to a file or a pipe is not wrapped to a terminal's width."""
    console = _Output(file=sys.stdout, highlight=False)
    return console if console.is_terminal else _Output(file=sys.stdout, highlight=False, width=_PIPE_WIDTH)


def normalise(addresses: Iterable[str]) -> tuple[list[str], list[str]]:
    """The addresses in the ledger's form, and what is to be said of those that are none."""
    normalised: list[str] = []
    invalid: list[str] = []
    for text in addresses:
        try:
            normalised.append(normalise_address(text))
        except InvalidAddress as exc:
            invalid.append(str(exc))
    return normalised, invalid
