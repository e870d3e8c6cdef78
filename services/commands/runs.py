"""`mailroom runs`: what a held run brought, and a person's decision about it."""

import sys

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.commands.marking import login_name, open_marking, warn_of_untold
from services.commands.terminal import (
    configure_logs,
    disposing,
    open_for_reading,
    open_for_writing,
    output,
    printable,
    progress_bar,
    refusals,
)
from services.ledger.runs_sql import SqlRuns
from shared.errors import ConfigurationError
from shared.tables.ledger import APPLIED, DROPPED

_DATABASE = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
_WHY = click.option("--why", default="", metavar="TEXT", help="Why; kept with the decision.")
_WHO = click.option("--who", metavar="NAME", help="Who decides; by default your login name.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each.")


@click.group(invoke_without_command=True, epilog="Begin one with: mailroom fetch --hold LIST")
@click.option("--waiting", is_flag=True, help="Only those that nobody has decided about.")
@_JSON
@_DATABASE
@click.pass_context
def runs(context: click.Context, waiting: bool, as_json: bool, database: str | None) -> None:
    """Held runs: what they bring is recorded and shown, and counts for nothing until somebody applies it."""
    if context.invoked_subcommand is not None:
        return
    with refusals(), disposing(open_for_reading(database)) as engine:
        table = Table("run", "state", "held", "decided", box=None, pad_edge=False)
        for run in SqlRuns(engine).held(is_waiting=waiting):
            if as_json:
                click.echo(orjson.dumps(run._asdict()))
            else:
                decided = f"{run.decided_at:%Y-%m-%d %H:%M} UTC" if run.decided_at else "-"
                table.add_row(run.run_id, run.state, f"{run.held_at:%Y-%m-%d %H:%M} UTC", decided)
        if table.row_count:
            output().print(table)
        elif not as_json:
            click.echo("no run is waiting" if waiting else "no run was ever held", err=True)


@runs.command(epilog="Example: mailroom runs show 5b0c… --json")
@click.argument("run_id", metavar="RUN")
@_JSON
@_DATABASE
def show(run_id: str, as_json: bool, database: str | None) -> None:
    """What the mails of a run say, recipient by recipient, with reason and evidence."""
    with refusals(), disposing(open_for_reading(database)) as engine:
        table = Table("recipient", "verdict", "reason", "status", "rule", "mail", "evidence", box=None, pad_edge=False)
        held = SqlRuns(engine)
        said_any = False
        for said in held.said(run_id):
            said_any = True
            if as_json:
                click.echo(orjson.dumps(said._asdict()))
                continue
            verdict = "delayed" if said.action == "delayed" else said.verdict
            cells = (
                said.recipient or "-",
                verdict,
                said.reason or "-",
                said.status or "-",
                said.rule,
                said.raw_id[:12],
                said.evidence,
            )
            table.add_row(*(Text(printable(cell)) for cell in cells))
        if table.row_count:
            output().print(table)
        elif not said_any and not held.is_known(run_id):
            raise ConfigurationError(f"nothing is known of a run {run_id}: `mailroom runs` lists those that were held")
        elif not as_json:
            click.echo("nothing of this run is recorded yet", err=True)


@runs.command(epilog='Example: mailroom runs apply 5b0c… --why "looked at all of them"')
@click.argument("run_id", metavar="RUN")
@_WHY
@_WHO
@_DATABASE
def apply(run_id: str, why: str, who: str | None, database: str | None) -> None:
    """Let a held run count. The next pass over its mailbox removes its mails, as the account says.

    Safe while traffic runs. After an interruption the same command, or a running ledger, goes on.
    """
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("runs")
        held = SqlRuns(engine)
        if held.apply(run_id, who or login_name(), why) == APPLIED:
            click.echo(f"run {run_id} was applied before; nothing is to be done", err=True)
            sys.exit(0)
        changed, is_told, done = 0, True, 0
        with open_marking(engine) as marking, progress_bar("applying", None) as advance:

            def progress(reached: int, total: int) -> None:
                nonlocal done
                advance(reached - done)
                done = reached

            for changes in held.settle(run_id, progress):
                changed += len(changes)
                is_told = is_told and marking.tell(changes)
        warn_of_untold(is_told)
    click.echo(f"run {run_id} is applied: it names {done:,} addresses, and changed {changed:,} of them", err=True)


@runs.command(epilog='Example: mailroom runs drop 5b0c… --why "the wrong mailbox"')
@click.argument("run_id", metavar="RUN")
@_WHY
@_WHO
@_DATABASE
def drop(run_id: str, why: str, who: str | None, database: str | None) -> None:
    """Never let a held run count. Its mails stay in the mailbox, and the next pass finds them again."""
    with refusals(), disposing(open_for_writing(database, must_exist=True)) as engine:
        configure_logs("runs")
        held = SqlRuns(engine)
        before = held.state(run_id)
        held.drop(run_id, who or login_name(), why)
    is_done = before is not None and before.state == DROPPED
    click.echo(f"run {run_id} " + ("was dropped before; nothing is to be done" if is_done else "is dropped"), err=True)
