"""`mailroom archive`: the mails themselves, for as long as they are kept."""

import sys
from datetime import timedelta
from typing import Final

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

_WHOLE: Final = 64
"""Digits of a raw id; fewer are the beginning of one."""

_DATABASE = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")


@click.group()
def archive() -> None:
    """The mails themselves. A ledger drops their bytes after MAILROOM_ARCHIVE_DAYS (30; 0 keeps them for ever)."""


@archive.command(epilog="Example: mailroom archive show 3f2a… | less   or: mailroom explain --archived 3f2a…")
@click.argument("raw_id", metavar="RAW_ID")
@_DATABASE
def show(raw_id: str, database: str | None) -> None:
    """Write a mail to standard output, as it was read.

    The beginning of its raw id is enough; `mailroom history` and `mailroom runs show` name them.
    """
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


def read_archived(beginning: str, database: str | None) -> bytes:
    """The mail whose raw id is, or begins with, that. Raises ConfigurationError when there is no one such mail, or no more."""
    with disposing(open_for_reading(database)) as engine:
        archive = SqlArchive(engine)
        found = [beginning] if len(beginning) == _WHOLE else archive.matching(beginning)
        if len(found) > 1:
            raise ConfigurationError(f"several mails have a raw id that begins with {beginning}: give more of it")
        raw = archive.read(found[0]) if found else None
        if raw is None and found and archive.matching(found[0]):
            raise ConfigurationError(f"the mail {found[0]} has been purged from the archive")
    if raw is None:
        raise ConfigurationError(f"the archive never had a mail {beginning}: `mailroom history` names raw ids")
    return raw
