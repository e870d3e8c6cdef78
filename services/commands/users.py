"""`mailroom users`: the people who may use the console."""

import getpass
import sys

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.commands.marking import login_name
from services.commands.terminal import (
    configure_logs,
    disposing,
    open_for_reading,
    open_for_writing,
    output,
    printable,
    refusals,
    setting,
)
from services.console.people_sql import SqlPeople
from services.console.roles import GIVEN, Role
from shared.errors import ConfigurationError

_DATABASE = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
_ROLE = click.Choice([role.value for role in GIVEN])


@click.group(invoke_without_command=True, epilog="Example: mailroom users add jane --role administrator")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each.")
@_DATABASE
@click.pass_context
def users(context: click.Context, as_json: bool, database: str | None) -> None:
    """Who may use the console; without a command, all of them. Passwords are asked for, or read from MAILROOM_PASSWORD."""
    if context.invoked_subcommand is not None:
        return
    with refusals(), disposing(open_for_reading(database)) as engine:
        table = Table("name", "role", "state", "last login", box=None, pad_edge=False)
        found = SqlPeople(engine).all()
        for one in found:
            if as_json:
                said = {
                    "name": one.name,
                    "role": one.role,
                    "is_active": one.is_active,
                    "last_login_at": one.last_login_at,
                }
                click.echo(orjson.dumps(said))
                continue
            last = f"{one.last_login_at:%Y-%m-%d %H:%M} UTC" if one.last_login_at else "never"
            table.add_row(*(Text(printable(cell)) for cell in (one.name, one.role, _state(one.is_active), last)))
        if table.row_count:
            output().print(table)
        elif not found:
            click.echo("there is no user yet: `mailroom users add` adds one", err=True)


@users.command(epilog="Example: mailroom users add jane --role administrator")
@click.argument("name", metavar="USER")
@click.option("--role", type=_ROLE, default=Role.VIEWER.value, show_default=True, help="What they may do.")
@_DATABASE
def add(name: str, role: str, database: str | None) -> None:
    """Add a user of the console."""
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("users")
        SqlPeople(engine).add(name, Role(role), _ask_twice(name), login_name())
    click.echo(f"{name}: added as {role}")


@users.command(epilog="Example: mailroom users password jane")
@click.argument("name", metavar="USER")
@_DATABASE
def password(name: str, database: str | None) -> None:
    """Give a user another password. Ends their sessions."""
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("users")
        SqlPeople(engine).set_password(name, _ask_twice(name), login_name())
    click.echo(f"{name}: the password is changed")


@users.command(epilog="Example: mailroom users edit jane --role operator")
@click.argument("name", metavar="USER")
@click.option("--role", type=_ROLE, help="What they may do.")
@click.option("--shut-out/--let-in", "is_shut_out", default=None, help="Whether they may log in.")
@_DATABASE
def edit(name: str, role: str | None, is_shut_out: bool | None, database: str | None) -> None:
    """Change what a user may do. Ends their sessions."""
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("users")
        if role is None and is_shut_out is None:
            raise ConfigurationError("nothing to change was given: see `mailroom users edit --help`")
        is_active = None if is_shut_out is None else not is_shut_out
        SqlPeople(engine).change(name, login_name(), role=Role(role) if role else None, is_active=is_active)
    click.echo(f"{name}: changed")


def _state(is_active: bool) -> str:
    return "may log in" if is_active else "shut out"


def _ask_twice(name: str) -> str:
    given = setting("MAILROOM_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationError("the user's password is missing: set MAILROOM_PASSWORD or MAILROOM_PASSWORD_FILE")
    first = getpass.getpass(f"Password for {printable(name)}: ", sys.stderr)
    if getpass.getpass("Once more: ", sys.stderr) != first:
        raise ConfigurationError("the two are not the same; nothing was changed")
    return first
