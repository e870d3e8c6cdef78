"""`mailroom lists import` and `mailroom lists export`: the contacts of a list, and who of them may still be mailed."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper

import click

from services.commands.exchanging import count_lines, open_lines
from services.commands.marking import login_name
from services.commands.terminal import (
    complain,
    configure_logs,
    disposing,
    open_for_reading,
    open_for_writing,
    progress_bar,
    refusals,
)
from services.console.contacts_csv import read_contacts, write_contacts, write_head
from services.console.contacts_sql import Added, SqlContacts
from shared.contacts import Unreadable

_DATABASE = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")


@click.command("import", epilog="Example: mailroom lists import weekly contacts.csv")
@click.argument("list_id", metavar="LIST")
@click.argument("file", metavar="FILE.csv")
@click.option("--column", metavar="NAME", help="The column that holds the addresses; by default the one named email.")
@_DATABASE
def import_contacts(list_id: str, file: str, column: str | None, database: str | None) -> None:
    """Add the addresses of a CSV with a head line to a list. FILE.csv may be - for standard input.

    Who is on it already stays. A row without a valid address is reported with its line; the exit status then is 2.
    """
    invalid = 0
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("lists import")
        contacts = SqlContacts(engine)
        contacts.count(list_id)
        done = Added()
        with open_lines(file) as lines, progress_bar("importing", count_lines(file)) as advance:

            def addresses() -> Iterator[str]:
                nonlocal invalid
                for row in read_contacts(lines, column, "standard input" if file == "-" else file):
                    if isinstance(row, Unreadable):
                        invalid += 1
                        complain(f"line {row.line}: {row.cause}")
                    else:
                        yield row

            reached = 0
            for done in contacts.add(list_id, addresses(), login_name()):
                advance(done.added + done.already - reached)
                reached = done.added + done.already
    click.echo(f"{done.added:,} added, {done.already:,} on the list already, {invalid:,} rows invalid", err=True)
    if invalid:
        sys.exit(2)


@click.command("export", epilog="Example: mailroom lists export weekly --bounced > bounced.csv")
@click.argument("list_id", metavar="LIST")
@click.option("--bounced", is_flag=True, help="Only those that must not be mailed.")
@_DATABASE
def export_contacts(list_id: str, bounced: bool, database: str | None) -> None:
    """Print the contacts of a list as CSV in UTF-8: may each be mailed, and why not.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    printed = 0
    with refusals(), disposing(open_for_reading(database)) as engine:
        configure_logs("lists export")
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # whatever the terminal's charset: it is read again
        contacts = SqlContacts(engine)
        total = contacts.count(list_id)
        write_head(sys.stdout)
        with progress_bar("exporting", None if bounced else total) as advance:
            for page in contacts.all(list_id, only_bounced=bounced):
                write_contacts(sys.stdout, page)
                printed += len(page)
                advance(len(page))
    click.echo(f"{printed:,} contacts", err=True)
