"""`mailroom secret-key` and `mailroom secrets rotate`: the key that stored passwords are sealed with."""

import os
import sys

import click

from services.commands.terminal import complain, configure_logs, open_for_writing, refusals
from services.fetcher.rotation_sql import rotate as rotate_secrets
from shared.secrets import new_key, open_secret_box


@click.command("secret-key", epilog="Example: (umask 077; mailroom secret-key > secret.key)")
def secret_key() -> None:
    """Make a key for MAILROOM_SECRET_KEY.

    Keep it apart from the database and its backups, and do not lose it: without it every password has to be given anew.
    """
    click.echo(new_key())


@click.group()
def secrets() -> None:
    """What is stored sealed: passwords of bounce accounts."""


@secrets.command(epilog='Example: MAILROOM_SECRET_KEY="$NEW,$OLD" mailroom secrets rotate')
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def rotate(database: str | None) -> None:
    """Seal everything anew with the first of the keys in MAILROOM_SECRET_KEY; then the others can be taken away.

    Safe while traffic runs. Give the fetchers both keys first. Exit status 1 when something could not be opened.
    """
    with refusals():
        configure_logs("secrets")
        box = open_secret_box(os.environ)
        engine = open_for_writing(database, must_exist=True)
        done = rotate_secrets(engine, box)
        engine.dispose()
    click.echo(f"{done.anew:,} sealed anew, {done.kept:,} had the first key already")
    for failure in dict.fromkeys(done.failures):  # an account has several columns
        complain(failure)
    if done.failures:
        sys.exit(1)
