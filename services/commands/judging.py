"""`mailroom classify` and `mailroom explain`: what a mail is, and why. They keep nothing."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.classifier.own_rules import read_own_rules
from services.classifier.ports import LethalMail
from services.classifier.sandbox import Sandbox
from services.commands.terminal import configure_logs, output, printable, progress_bar, refusals, setting
from services.fetcher.mailbox_files import Found
from services.fetcher.sources import count_source, is_account_url, open_source
from shared.errors import ConfigurationError

_BATCH: Final = 100


@click.command(epilog="Example: mailroom classify samples/ --json")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each message.")
def classify(sources: Sequence[str], as_json: bool) -> None:
    """Say what each message is and what became of its recipients; nothing is recorded."""
    errors: list[str] = []
    table = Table(box=None, pad_edge=False)
    for column in ("file", "kind", "verdict", "recipient", "reason", "status"):
        table.add_column(column, overflow="fold")
    with refusals():
        sandbox = Sandbox(read_own_rules(setting("MAILROOM_RULES_DIR")))
    try:
        with refusals(), progress_bar("classifying", _total(sources)) as advance:
            configure_logs("classify")
            for found, judgement in _judged(sources, sandbox, errors, advance):
                if as_json:
                    click.echo(orjson.dumps({"file": found.name, **judgement}))
                else:
                    _add_rows(table, found.name, judgement)
    finally:
        sandbox.close()
    if not as_json:
        output().print(table)
    for error in errors:
        click.echo(f"mailroom: {printable(error)}", err=True)
    if errors:
        sys.exit(2)


def _total(sources: Sequence[str]) -> int | None:
    counts = [count_source(source) for source in sources]
    return None if None in counts else sum(count for count in counts if count is not None)


def _judged(
    sources: Sequence[str], sandbox: Sandbox, errors: list[str], advance: Any
) -> Iterator[tuple[Found, dict[str, Any]]]:
    if any(is_account_url(source) for source in sources):
        raise ConfigurationError("classify reads files and folders; an account is read by `mailroom process`")
    stream = (found for source in sources for found in open_source(source))
    while batch := list(islice(stream, _BATCH)):
        errors += [found.error for found in batch if found.error]
        readable = [found for found in batch if not found.error]
        judgements = sandbox.judge([found.raw for found in readable])
        for found, judgement in zip(readable, judgements, strict=True):
            if isinstance(judgement, LethalMail):
                errors.append(f"{found.name}: {judgement}")
            else:
                yield found, judgement
        advance(len(batch))


def _add_rows(table: Table, name: str, judgement: dict[str, Any]) -> None:
    outcomes = judgement["outcomes"] or [{"recipient": None, "verdict": "", "reason": None, "status": None}]
    for number, outcome in enumerate(outcomes):
        cells = (
            name if number == 0 else "",
            judgement["kind"] if number == 0 else "",
            outcome["verdict"] or judgement["verdict"],
            outcome["recipient"] or "-",
            outcome["reason"] or "-",
            outcome["status"] or "-",
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))


@click.command(epilog="Example: mailroom explain samples/mails/postfix_user_unknown.eml")
@click.argument("file", type=click.Path(path_type=Path))
def explain(file: Path) -> None:
    """Show how a message is judged: every stage, the rule that decided, and the words that it matched."""
    from services.classifier.explain import explain as explain_mail
    from services.classifier.rulebook import with_deployment

    found = next(open_source(str(file)), None)
    if found is None or found.error:
        raise click.ClickException(printable(found.error if found and found.error else f"{file} holds no message"))
    console = output()
    with refusals():
        rulebook = with_deployment(read_own_rules(setting("MAILROOM_RULES_DIR")))
    for stage, lines in explain_mail(found.raw, rulebook):
        console.print(Text(stage, style="bold"))
        for line in lines:
            console.print(Text(f"  {printable(line)}"), soft_wrap=True)
