"""`mailroom export` and `mailroom import`: the list of suppressions as CSV."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from services.commands.marking import login_name, open_marking, warn_of_untold
from services.commands.terminal import (
    complain,
    configure_logs,
    open_for_reading,
    open_for_writing,
    progress_bar,
    refusals,
)
from services.ledger.export_sql import SqlExport
from services.ledger.marking import Tally, Wish
from services.ledger.policy import State
from services.ledger.suppressions_csv import Passed, read_wishes, write_head, write_rows
from shared.contacts import Unreadable
from shared.errors import ConfigurationError

_BLOCK: Final = 1 << 20
_STANDARD_INPUT: Final = "-"
_ADVANCE_ROWS: Final = 500


@click.command("export", epilog="Example: mailroom export > suppressed.csv")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only these; may be given more than once. By default all that must not be mailed.",
)
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def export_csv(states: Sequence[str], database: str | None) -> None:
    """Print the addresses that must not be mailed, as CSV in UTF-8.

    A cell that a spreadsheet would take for a formula begins with an apostrophe; `mailroom import` takes it away again.
    """
    chosen = [State(state) for state in states] or [state for state in State if state != State.OK]
    with refusals():
        configure_logs("export")
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # whatever the terminal's charset: it is read again
        engine = open_for_reading(database)
        export = SqlExport(engine)
        total = export.count(chosen)
        printed = 0
        write_head(sys.stdout)
        with progress_bar("exporting", total) as advance:
            for page in export.pages(chosen):
                write_rows(sys.stdout, page)
                printed += len(page)
                advance(len(page))
        engine.dispose()
    click.echo(f"{printed:,} addresses", err=True)


@click.command("import", epilog='Example: mailroom import suppressed.csv --reason "from the old system"')
@click.argument("file", metavar="FILE.csv")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with every address.")
@click.option("--column", metavar="NAME", help="The column that holds the addresses; by default the one named email.")
@click.option("--who", metavar="NAME", help="Who says so; by default your login name.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def import_csv(file: str, reason: str, column: str | None, who: str | None, database: str | None) -> None:
    """Suppress every address of a CSV with a head line: what `mailroom export` printed, or any with a column of addresses.

    FILE.csv may be - for standard input. What is suppressed by hand already stays as it is. A row without a valid address
    is reported with its line; the exit status then is 2.
    """
    with refusals():
        configure_logs("import")
        if not reason.strip():
            raise ConfigurationError("say why: --reason is kept with every address")
        where = "standard input" if file == _STANDARD_INPUT else file
        with open_lines(file) as lines:
            rows = read_wishes(lines, reason, column, where)
            first = list(islice(rows, 1))  # a file that cannot be used makes no database
            engine = open_for_writing(database)
            seen = _import(engine, chain(first, rows), who or login_name(), count_lines(file))
            engine.dispose()
    if seen.invalid:
        sys.exit(2)


@dataclass(slots=True)
class _Seen:
    """What the file held beside what was to be suppressed."""

    invalid: int = 0
    passed: int = 0


def _import(engine: Engine, rows: Iterable[Wish | Passed | Unreadable], who: str, total: int | None) -> _Seen:
    seen = _Seen()
    tally = Tally()

    def remember(so_far: Tally) -> None:
        nonlocal tally
        tally = so_far

    with open_marking(engine) as marking:
        try:
            with progress_bar("importing", total) as advance:
                marking.take_over(_wishes(rows, seen, advance), who, remember)
        finally:  # also of one that was interrupted: what is recorded, stays
            click.echo(
                f"{tally.suppressed:,} suppressed, {tally.already:,} already, {seen.passed:,} that may be mailed left as "
                f"they are, {seen.invalid:,} rows invalid"
            )
    warn_of_untold(tally.is_told)
    return seen


def _wishes(rows: Iterable[Wish | Passed | Unreadable], seen: _Seen, advance: Callable[[int], None]) -> Iterator[Wish]:
    for number, row in enumerate(rows, start=1):
        if number % _ADVANCE_ROWS == 0:  # the bar's own arithmetic would take longer than the import
            advance(_ADVANCE_ROWS)
        if isinstance(row, Wish):
            yield row
        elif isinstance(row, Passed):
            seen.passed += 1
        else:
            seen.invalid += 1
            complain(f"line {row.line}: {row.cause}")


@contextmanager
def open_lines(file: str) -> Iterator[Iterable[str]]:
    """Its lines with their ends. Bytes that are no UTF-8 make a row invalid, not the file."""
    if file == _STANDARD_INPUT:
        yield TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape", newline="")
        return
    with Path(file).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield lines


def count_lines(file: str) -> int | None:
    """Of rows, for the progress bar; None of what can be read only once."""
    path = Path(file)
    if file == _STANDARD_INPUT or not path.is_file():
        return None
    with path.open("rb") as blocks:
        return max(0, sum(block.count(b"\n") for block in iter(lambda: blocks.read(_BLOCK), b"")) - 1)
