"""`mailroom reconcile`: is what senders read what the database says, and is no mail lost?"""

import sys
from collections.abc import Sequence
from datetime import timedelta

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.commands.terminal import (
    configure_logs,
    open_for_reading,
    open_for_writing,
    output,
    printable,
    progress_bar,
    refusals,
    setting,
)
from services.ledger.projection_redis import connect_projection
from services.ledger.reconcile import Comparison, compare_projection, count_addresses
from services.ledger.reconcile_runs import LATE_AFTER, RunBalance, balance_runs, missing_mails


@click.command(epilog="Safe while traffic runs: what is on its way is not different. Exit status 1: something differs.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
@click.option("--mend", is_flag=True, help="Write into Redis what differs there.")
@click.option(
    "--late-after",
    metavar="MINUTES",
    type=click.IntRange(min=0),
    default=int(LATE_AFTER.total_seconds() // 60),
    show_default=True,
    help="A mail that is found may wait so long to be recorded.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def reconcile(database: str | None, mend: bool, late_after: int, as_json: bool) -> None:
    """Compare Redis with the database, and what the runs found with what became of it."""
    with refusals():
        configure_logs("reconcile")
        engine = open_for_writing(database, must_exist=True) if mend else open_for_reading(database)
        redis_url = setting("MAILROOM_REDIS_URL")
        compared = None
        if redis_url:
            with progress_bar("comparing", count_addresses(engine)) as advance:
                compared = compare_projection(engine, connect_projection(redis_url), mends=mend, progress=advance)
        patience = timedelta(minutes=late_after)
        runs = balance_runs(engine, patience)
        missing = missing_mails(engine, patience)
        engine.dispose()
    if as_json:
        click.echo(orjson.dumps(_as_json(compared, runs, missing)))
    else:
        _print(compared, runs, missing)
    unmended = compared.different - compared.mended if compared else 0
    if unmended or missing:
        sys.exit(1)


def _as_json(
    compared: Comparison | None, runs: Sequence[RunBalance], missing: Sequence[tuple[str, str]]
) -> dict[str, object]:
    redis = compared and {
        "compared": compared.compared,
        "waiting": compared.waiting,
        "different": compared.different,
        "mended": compared.mended,
        "counts": {kind.value: count for kind, count in compared.counts.items()},
        "examples": {recipient: kind.value for recipient, kind in compared.examples.items()},
    }
    return {"redis": redis, "runs": runs, "missing": [{"run_id": run_id, "uid": uid} for run_id, uid in missing]}


def _print(compared: Comparison | None, runs: Sequence[RunBalance], missing: Sequence[tuple[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    if compared is None:
        table.add_row("Redis", "not configured (MAILROOM_REDIS_URL)")
    else:
        table.add_row("addresses compared", f"{compared.compared:,}")
        table.add_row("on their way to Redis", f"{compared.waiting:,}")
        for kind, count in sorted(compared.counts.items()):
            table.add_row(f"different: {kind.value}", Text(f"{count:,}", style="red"))
        table.add_row("different in all", f"{compared.different:,}")
        if compared.mended:
            table.add_row("mended", f"{compared.mended:,}")
        for recipient, kind in compared.examples.items():
            table.add_row(Text(f"  {printable(recipient)}"), kind.value)
    console = output()
    console.print(table)
    if runs:
        console.print(_table_of(runs))
    for run_id, uid in missing:
        console.print(Text(f"missing: mail {printable(uid)} of run {printable(run_id)}", style="red"))


def _table_of(runs: Sequence[RunBalance]) -> Table:
    counts = ("recorded", "elsewhere", "dead", "unread", "waiting", "missing")
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "account"):
        table.add_column(heading)
    for heading in counts:
        table.add_column(heading, justify="right")
    for run in runs:
        numbers = [Text(f"{getattr(run, one):,}") for one in counts]
        table.add_row(Text(printable(run.run_id)), Text(printable(run.account)), *numbers)
    return table
