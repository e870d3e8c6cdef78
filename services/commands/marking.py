"""`mailroom suppress` and `mailroom release`: the word of a person on an address."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import click
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from services.commands.bus import open_publisher
from services.commands.terminal import (
    configure_logs,
    normalise,
    open_for_writing,
    output,
    printable,
    refusals,
    setting,
)
from services.ledger.marking import Done, Marked, Marking
from services.ledger.marks_sql import SqlMarks
from services.ledger.policy import SUPPRESSED_BY_HAND, Standing, State
from services.ledger.projection_redis import connect_projection
from services.ledger.store_sql import SqlVerdictStore


@click.command(epilog='Example: mailroom suppress jane@example.com --reason "asked us on the phone"')
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the address.")
@click.option("--who", metavar="NAME", help="Who says so; by default your login name.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def suppress(addresses: Sequence[str], reason: str, who: str | None, database: str | None) -> None:
    """Never mail these addresses again, until they are released; also addresses that never bounced."""
    _mark(addresses, database, lambda marking, good: marking.suppress(good, reason, who or login_name()))


@click.command(epilog='Example: mailroom release jane@example.com --why "her mailbox is back"')
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--why", required=True, metavar="TEXT", help="Why; kept with the address.")
@click.option("--who", metavar="NAME", help="Who says so; by default your login name.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def release(addresses: Sequence[str], why: str, who: str | None, database: str | None) -> None:
    """Let these addresses be mailed again.

    What was reported until now never counts again, also when it arrives late or is replayed; what is reported from now
    on does.
    """
    _mark(addresses, database, lambda marking, good: marking.release(good, why, who or login_name()))


def _mark(addresses: Sequence[str], database: str | None, say: Callable[[Marking, Sequence[str]], Done]) -> None:
    """Exit status 2 when an address is invalid, after doing the others."""
    good, invalid = normalise(addresses)
    with refusals():
        configure_logs("marking")
        if good:
            engine = open_for_writing(database, must_exist=True)
            with open_marking(engine) as marking:
                done = say(marking, good)
            engine.dispose()
            _print(done.marked)
            warn_of_untold(done.is_told)
    for error in invalid:
        click.echo(f"mailroom: {printable(error)}", err=True)
    if invalid:
        sys.exit(2)


@contextmanager
def open_marking(engine: Engine) -> Iterator[Marking]:
    """With the Redis and the broker that are configured."""
    redis_url = setting("MAILROOM_REDIS_URL")
    amqp_url = setting("MAILROOM_AMQP_URL")
    projection = connect_projection(redis_url) if redis_url else None
    with open_publisher(amqp_url) if amqp_url else nullcontext() as publisher:
        yield Marking(SqlMarks(engine), SqlVerdictStore(engine), projection, publisher)


def warn_of_untold(is_told: bool) -> None:
    """Say that the record is ahead of Redis or of the broker."""
    if not is_told:
        click.echo(
            "mailroom: this is recorded, but Redis or the broker could not be told; a running ledger makes up for it. "
            "Until then senders may be given the old answer",
            err=True,
        )


def login_name() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _print(marked: Sequence[Marked]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in marked:
        is_ok = one.after.state == State.OK
        said = f"{_was(one)}; it {'may be mailed now' if is_ok else f'is {describe(one.after)}'}"
        if one.before.reason == one.after.reason == SUPPRESSED_BY_HAND:
            said = f"was {describe(one.before)}, and still is"
        table.add_row(Text(printable(one.recipient)), Text(said, style="green" if is_ok else "red"))
    output().print(table)


def _was(one: Marked) -> str:
    if one.before.state == State.OK and one.after.state == State.OK:
        forgotten = one.before.soft - one.after.soft
        softs = f", {forgotten} soft bounce{'s' * (forgotten > 1)} count no more" if forgotten > 0 else ""
        return f"was not suppressed{softs}"
    return f"was {describe(one.before)}"


def describe(standing: Standing) -> str:
    """How an address stands, in a few words."""
    if standing.state == State.OK:
        return "ok" + (f" with {standing.soft} soft bounce{'s' * (standing.soft > 1)}" if standing.soft else "")
    since = f" since {standing.since:%Y-%m-%d %H:%M} UTC" if standing.since else ""
    if standing.reason == SUPPRESSED_BY_HAND:
        return f"suppressed by hand{since}"
    return printable(f"{standing.state.value}, {standing.reason or 'no reason recorded'}{since}")
