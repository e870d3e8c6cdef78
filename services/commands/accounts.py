"""`mailroom accounts`: when each bounce account was last fetched, what was found, and what is wrong."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

import click
import orjson
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from services.commands.durations import in_words, since, until
from services.commands.terminal import configure_logs, open_for_reading, output, printable, refusals
from services.fetcher.lists_sql import SqlLists
from services.scheduler.app import read_silent_after
from services.scheduler.passes_sql import Tally, read_passes, tally_mails
from services.scheduler.watching import Condition, Passes, judge
from shared.environment import Environment
from shared.errors import ConfigurationError

_STYLES: Final = {Condition.FAILING: "red", Condition.SILENT: "red", Condition.WELL: "green"}


@dataclass(frozen=True, slots=True)
class _Seen:
    passes: Passes
    condition: Condition
    is_alert: bool


@click.command(epilog="Example, for cron or a monitor: mailroom accounts --alert")
@click.argument("names", nargs=-1, metavar="[LIST]...")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
@click.option(
    "--alert",
    "alerts_only",
    is_flag=True,
    help="Only accounts that have been silent or failing for too long. Exit status 1 when there is any.",
)
@click.option(
    "--after",
    metavar="MINUTES",
    type=click.IntRange(min=1),
    help="How long is too long. Default: MAILROOM_SILENT_AFTER_MINUTES, else four intervals, at least an hour.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Count the mails of so many days; 0: of all time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each account.")
def accounts(
    names: Sequence[str], database: str | None, alerts_only: bool, after: int | None, days: int, as_json: bool
) -> None:
    """When each bounce account was last fetched, what was found and what waits, and its last error.

    LIST may also be an account's own name.
    """
    with refusals():
        configure_logs("accounts")
        silent_after = timedelta(minutes=after) if after else _silent_after()
        engine = open_for_reading(database, is_told=not alerts_only)
        try:
            now, passes = read_passes(engine)
            seen = [_Seen(one, *judge(one, now, silent_after)) for one in _chosen(engine, passes, names)]
            if alerts_only:
                seen = [one for one in seen if one.is_alert]
            is_counted = not alerts_only or as_json
            tallies = tally_mails(engine, timedelta(days=days) if days else None) if is_counted else {}
        finally:
            engine.dispose()
    if as_json:
        for one in seen:
            click.echo(orjson.dumps(_as_json(one, tallies.get(one.passes.account, Tally()))))
    elif alerts_only:
        for one in seen:
            click.echo(printable(_alert_text(one, now)))
    else:
        _print(seen, tallies, now)
    if alerts_only and seen:
        sys.exit(1)


def _silent_after() -> timedelta | None:
    environment = Environment(os.environ)
    silent_after = read_silent_after(environment)
    environment.check()
    return silent_after


def _chosen(engine: Engine, passes: Sequence[Passes], names: Sequence[str]) -> Sequence[Passes]:
    """By the name of a list or of an account; all of them without a name."""
    if not names:
        return passes
    lists = SqlLists(engine)
    wanted = {lists.account_of(name): name for name in names}
    by_name = {one.account: one for one in passes}
    if unknown := [name for account, name in wanted.items() if account not in by_name]:
        raise ConfigurationError(f"there is no account {', '.join(map(repr, unknown))}; `mailroom accounts` lists them")
    return [by_name[account] for account in wanted]


def _as_json(seen: _Seen, tally: Tally) -> dict[str, Any]:
    passes = seen.passes
    return {
        "account": passes.account,
        "condition": seen.condition,
        "alert": seen.is_alert,
        "interval_s": int(passes.interval.total_seconds()),
        "last_fetched_at": passes.succeeded_at,
        "last_tried_at": passes.tried_at,
        "next_at": _next(seen),
        "mails": asdict(tally),
        "last_error": passes.last_error,
    }


def _next(seen: _Seen) -> datetime | None:
    return seen.passes.next_at if seen.passes.is_active else None


def _alert_text(seen: _Seen, now: datetime) -> str:
    passes = seen.passes
    error = f": {passes.last_error}" if passes.last_error else ""
    return (
        f"{passes.account} is {seen.condition}: last fetched {since(passes.succeeded_at, now)}, "
        f"last tried {since(passes.tried_at, now)}{error}"
    )


def _print(seen: Sequence[_Seen], tallies: Mapping[str, Tally], now: datetime) -> None:
    if not seen:
        output().print("There are no bounce accounts.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("account", "condition", "every", "last fetched", "next"):
        table.add_column(heading)
    counts = [field.name for field in fields(Tally)]
    for heading in counts:
        table.add_column(heading.replace("_", "-"), justify="right")
    for one in seen:
        passes = one.passes
        tally = tallies.get(passes.account, Tally())
        table.add_row(
            Text(printable(passes.account)),
            Text(one.condition, style=_STYLES.get(one.condition, "")),
            in_words(passes.interval) if passes.interval else "",
            since(passes.succeeded_at, now),
            until(_next(one), now),
            *(f"{getattr(tally, name):,}" for name in counts),
        )
    console = output()
    console.print(table)
    for one in seen:
        if one.passes.last_error:
            console.print(Text(printable(f"\n{one.passes.account}: {one.passes.last_error}"), style="red"))
