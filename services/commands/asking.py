"""`mailroom check` and `mailroom filter`: may this address be mailed?"""

import csv
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import click
import orjson
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from services.commands.terminal import (
    complain,
    configure_logs,
    normalise,
    open_for_reading,
    output,
    printable,
    progress_bar,
    refusals,
    setting,
)
from services.ledger.looking_sql import UNKNOWN, SqlLooking
from services.ledger.policy import State
from shared.contacts import Unreadable, read_addresses, read_sheet
from shared.suppressions import Suppressions, connect_redis
from shared.tables.schema import DatabaseUnreachable

_ROWS: Final = 1000


def _suppressions(engine: Engine) -> Suppressions:
    redis_url = setting("MAILROOM_REDIS_URL")
    return Suppressions(engine, connect_redis(redis_url) if redis_url else None)


@click.command(epilog="Example: mailroom check jane@example.com && echo may be mailed")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def check(addresses: Sequence[str], database: str | None, as_json: bool) -> None:
    """May these addresses be mailed? Exit status 0: all of them; 1: at least one not; 2: cannot tell."""
    with refusals():
        configure_logs("check")
        engine = open_for_reading(database, may_be_away=bool(setting("MAILROOM_REDIS_URL")))
        normalised, invalid = normalise(addresses)
        answers = dict(zip(normalised, _suppressions(engine).are_suppressed(normalised), strict=True))
        details = _details(engine, normalised)
        engine.dispose()
    rows = [{"address": one, "suppressed": answers[one], **details.get(one, UNKNOWN)} for one in normalised]
    if as_json:
        click.echo(orjson.dumps(rows))
    elif rows:
        _print_answers(rows)
    for error in invalid:
        click.echo(f"mailroom: {printable(error)}", err=True)
    if invalid:
        sys.exit(2)
    sys.exit(1 if any(answers.values()) else 0)


def _details(engine: Engine, addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Why; nothing while the database is away and only Redis can answer whether."""
    try:
        return SqlLooking(engine).standings(addresses)
    except DatabaseUnreachable:
        return {}


def _print_answers(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows:
        if row["suppressed"]:
            since = f" since {row['since']:%Y-%m-%d}" if row["since"] else ""
            why = f"{row['state']}, {row['reason'] or 'no reason recorded'}{since}"
            answer = "do not mail" + (
                f": {why}" if row["state"] != State.OK else " (the database, which knows why, is away)"
            )
        else:
            bounces = f", {row['soft']} soft bounce{'s' * (row['soft'] > 1)} so far" if row["soft"] else ""
            answer = f"may be mailed{bounces}"
        table.add_row(Text(printable(row["address"])), Text(answer, style="red" if row["suppressed"] else "green"))
    output().print(table)


@click.command("filter", epilog="Example: mailroom filter < contacts.csv > may-be-mailed.csv")
@click.option("--column", metavar="NAME", help="The column that holds the addresses; by default the one named email.")
@click.option("--suppressed", is_flag=True, help="Print the rows that must not be mailed instead.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def filter_csv(column: str | None, suppressed: bool, database: str | None) -> None:
    """Read a CSV with a head line from standard input and print the rows that may be mailed.

    A row whose address is invalid is never printed; it is reported, and the exit status is 2.
    """
    invalid = kept = dropped = 0
    with refusals():
        configure_logs("filter")
        engine = open_for_reading(database, may_be_away=bool(setting("MAILROOM_REDIS_URL")))
        asks = _suppressions(engine)
        sheet = read_sheet(sys.stdin, column, "standard input")
        writer = csv.writer(sys.stdout, delimiter=sheet.delimiter, lineterminator="\n")
        writer.writerow(sheet.head)
        with progress_bar("filtering", None) as advance:
            addressed = read_addresses(sheet)
            while rows := list(islice(addressed, _ROWS)):
                asked = [one for one in rows if not isinstance(one, Unreadable)]
                for one in rows:
                    if isinstance(one, Unreadable):
                        invalid += 1
                        complain(f"line {one.line}: {one.cause}")
                answers = asks.are_suppressed([recipient for _, recipient in asked])
                chosen = [row.cells for (row, _), answer in zip(asked, answers, strict=True) if answer == suppressed]
                writer.writerows(chosen)
                kept += len(chosen)
                dropped += len(asked) - len(chosen)
                advance(len(rows))
        engine.dispose()
    click.echo(f"{kept:,} rows printed, {dropped:,} left out, {invalid:,} without a valid address", err=True)
    if invalid:
        sys.exit(2)
