"""`mailroom archive`: the mails themselves, for as long as they are kept."""

import sys
from datetime import timedelta

import click

from services.commands.terminal import (
    configure_logs,
    disposing,
    open_for_reading,
    open_for_writing,
    progress_bar,
    refusals,
)
from services.ledger.app import LONGEST_DAYS
from services.ledger.archive_sql import SqlArchive
from shared.errors import ConfigurationError

_DATABASE = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")


@click.group()
def archive() -> None:
    """The mails themselves. A ledger drops their bytes after MAILROOM_ARCHIVE_DAYS (30; 0 keeps them for ever)."""


@archive.command(epilog="Example: mailroom archive show 3f2a… | less   or: mailroom explain --archived 3f2a…")
@click.argument("raw_id", metavar="RAW_ID")
@_DATABASE
def show(raw_id: str, database: str | None) -> None:
    """Write a mail to standard output, as it was read. `mailroom history` and `mailroom runs show` name raw ids."""
    with refusals():
        sys.stdout.buffer.write(read_archived(raw_id, database))


@archive.command(epilog="Example: mailroom archive purge --older-than 7")
@click.option(
    "--older-than", type=click.IntRange(0, LONGEST_DAYS), required=True, metavar="DAYS", help="Archived so long ago."
)
@_DATABASE
def purge(older_than: int, database: str | None) -> None:
    """Drop the bytes of older mails now. What was counted stays, and so does the knowledge that a mail was kept once."""
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("archive")
        purged = 0
        with progress_bar("purging", None) as advance:
            for count in SqlArchive(engine).purge(timedelta(days=older_than)):
                purged += count
                advance(count)
    click.echo(f"{purged:,} mail{'s' * (purged != 1)} purged", err=True)


def read_archived(raw_id: str, database: str | None) -> bytes:
    """Raises ConfigurationError when the mail is not there, or no more."""
    with disposing(open_for_reading(database)) as engine:
        raw = SqlArchive(engine).read(raw_id)
    if raw is None:
        raise ConfigurationError(f"the archive has no mail {raw_id}: it never came here, or has been purged")
    return raw
