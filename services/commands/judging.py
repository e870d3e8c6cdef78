"""`mailroom classify` and `mailroom explain`: what a mail is, and why. They keep nothing."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.classifier.explain import explain as explain_mail
from services.classifier.own_rules import read_own_rules
from services.classifier.ports import LethalMail
from services.classifier.rulebook import Rulebook, with_deployment
from services.classifier.sandbox import Sandbox
from services.commands.archive import read_archived
from services.commands.terminal import complain, configure_logs, output, printable, progress_bar, refusals, setting
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
    if not as_json and (table.row_count or not errors):
        output().print(table)
    _end_with(errors)


def _end_with(errors: Sequence[str]) -> None:
    """Tell them; exit status 2 when there are any."""
    for error in errors:
        complain(error)
    if errors:
        sys.exit(2)


def _total(sources: Sequence[str]) -> int | None:
    counts = [count_source(source) for source in sources]
    return None if None in counts else sum(count for count in counts if count is not None)


def _judged(
    sources: Sequence[str], sandbox: Sandbox, errors: list[str], advance: Any
) -> Iterator[tuple[Found, dict[str, Any]]]:
    _require_files("classify", sources)
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


def _require_files(command: str, sources: Sequence[str]) -> None:
    if any(is_account_url(source) for source in sources):
        raise ConfigurationError(f"{command} reads files and folders; an account is read by `mailroom process`")


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
@click.argument("source", metavar="SOURCE")
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="Only the Nth message, of a folder or an mbox.")
@click.option("--archived", is_flag=True, help="SOURCE is the raw id of a mail in the archive.")
@click.option("--database", metavar="URL", help="With --archived. Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def explain(source: str, number: int | None, archived: bool, database: str | None) -> None:
    """Show how each message is judged: every stage, the rule that decided, and the words that it matched."""
    if archived:
        with refusals():
            mail = Found(source, read_archived(source, database))
            _print_explanation(mail, with_deployment(read_own_rules(setting("MAILROOM_RULES_DIR"))))
        return
    errors: list[str] = []
    count = shown = 0
    with refusals():
        _require_files("explain", [source])
        rulebook = with_deployment(read_own_rules(setting("MAILROOM_RULES_DIR")))
        for count, found in enumerate(open_source(source), 1):
            if number not in (None, count):
                continue
            shown += 1
            if found.error:
                errors.append(found.error)
            else:
                _print_explanation(found, rulebook)
            if number is not None:
                break
        if not count:
            raise ConfigurationError(f"{source} holds no message")
        if not shown:
            raise ConfigurationError(f"{source} holds {count} message{'s' * (count > 1)}, and so no number {number}")
    _end_with(errors)


def _print_explanation(found: Found, rulebook: Rulebook) -> None:
    console = output()
    console.print(Text(printable(found.name), style="bold underline"), soft_wrap=True)
    for stage, lines in explain_mail(found.raw, rulebook):
        console.print(Text(stage, style="bold"))
        for line in lines:
            console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    console.print()
