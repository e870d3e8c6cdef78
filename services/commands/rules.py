"""`mailroom rules`: the rules that say why a mail failed, checked, tried and proved by their own examples."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.classifier.own_rules import read_texts
from services.classifier.proving import Failure, advise, changed_examples, prove
from services.classifier.reasons import REASONS
from services.classifier.rule import BadRule, Rule, fold
from services.classifier.rulebook import Rulebook, own_rulebook, with_deployment
from services.commands.terminal import Refused, complain, output, printable, refusals, setting

_TABLE_WIDTH: Final = 140
"""A narrower terminal would break every cell."""
_FOLDER_HELP: Final = (
    "FOLDER holds a deployment's own rules; the default is MAILROOM_RULES_DIR, without it the shipped rules alone."
)


@click.group()
def rules() -> None:
    """Check, prove, list and try the rules that decide why a mail failed."""


def _texts(given: str | None) -> dict[str, str]:
    """What the folder holds, unchecked."""
    folder = given or setting("MAILROOM_RULES_DIR")
    texts = read_texts(folder)
    if folder and not texts:
        complain(f"{folder} holds no .toml file: the shipped rules alone are meant")
    return texts


def _rulebook(given: str | None) -> Rulebook:
    return with_deployment(_texts(given))


@rules.command("check", help=f"Say whether every rule can be used, and tell each that cannot. {_FOLDER_HELP}",
               epilog="Example: mailroom rules check /etc/mailroom/rules")  # fmt: skip
@click.argument("folder", required=False)
def check(folder: str | None) -> None:
    with refusals():
        texts = _texts(folder)
        try:
            rulebook = with_deployment(texts)
        except BadRule as exc:
            refusal = f"{len(exc.causes)} cannot be used; the rules that run stay as they are"
            raise Refused("\n".join((*exc.causes, refusal))) from exc
    own = sum(rule.is_own for rule in rulebook.rules)
    click.echo(
        f"{len(rulebook.rules)} rules can be used, {own} of them from {len(texts)} file{'s' * (len(texts) != 1)} of your own"
    )


@rules.command("test", help=f"Check the rules, then judge each one's own examples by all of them. {_FOLDER_HELP}",
               epilog="Example: mailroom rules test /etc/mailroom/rules")  # fmt: skip
@click.argument("folder", required=False)
def test(folder: str | None) -> None:
    with refusals():
        rulebook = _rulebook(folder)
    own = [rule for rule in rulebook.rules if rule.is_own]
    failures = [failure for rule in own or rulebook.rules for failure in prove(rule, rulebook)]
    for failure in failures:
        _print_failure(failure)
    changes = list(changed_examples(own_rulebook(), rulebook))
    for change in changes:
        _print_change(change)
    examples = sum(len(rule.examples) + len(rule.counterexamples) for rule in rulebook.rules)
    changed = f", shipped examples with another answer: {len(changes)}" if changes else ""
    click.echo(f"{len(rulebook.rules)} rules, {examples} examples, {len(failures)} wrong{changed}")
    if failures:
        sys.exit(1)


def _print_change(change: Failure) -> None:
    decided = change.decided
    answer = "no rule decides it"
    if decided:
        verdict = decided.rule.verdict or REASONS[decided.rule.reason].verdict
        answer = f"{verdict}, {decided.rule.reason}: {decided.rule.id} decides it, by “{decided.words}”"
    click.echo(
        printable(f"{_place(change.rule)}, a shipped one: {change.example!r} gets another answer now\n    {answer}")
    )


def _print_failure(failure: Failure) -> None:
    decided = failure.decided
    answer = f"{decided.rule.id} decides it, by “{decided.words}”" if decided else "no rule decides it"
    wanted = "must not decide" if failure.is_counterexample else "must decide"
    click.echo(printable(f"{_place(failure.rule)} {wanted} {failure.example!r}\n    {answer}"))
    if failure.advice:
        click.echo(printable(f"    {failure.advice}"))


def _place(rule: Rule) -> str:
    return f"{rule.file}:{rule.line}: rule {rule.id!r}"


@rules.command("list", help=f"List all rules, those first that decide first. {_FOLDER_HELP}",
               epilog="Example: mailroom rules list | grep google")  # fmt: skip
@click.argument("folder", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each rule.")
def list_rules(folder: str | None, as_json: bool) -> None:
    with refusals():
        rulebook = _rulebook(folder)
    shipped = {rule.id for rule in own_rulebook().rules}
    rows = [_row(rule, shipped) for rule in sorted(rulebook.rules, key=lambda rule: -rule.priority)]
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(row))
        return
    console = output()
    if console.width < _TABLE_WIDTH:
        for row in rows:
            _print_block(console, row)
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column in ("priority", "id", "reason", "verdict"))
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row.values()))
    console.print(table)


def _print_block(console: Console, row: Mapping[str, Any]) -> None:
    """A rule in lines of its own."""
    console.print(Text(printable(f"{row['priority']:<3} {row['id']}"), style="bold"))
    hosts = "" if row["hosts"] == "any" else f", said by {row['hosts']}"
    for line in (f"{row['reason']}, {row['verdict']}{hosts}", row["server"], row["file"]):
        console.print(Padding(Text(printable(line)), (0, 0, 0, 4), expand=False))


def _row(rule: Rule, shipped: set[str]) -> dict[str, Any]:
    replaces = " (in place of the shipped one)" if rule.is_own and rule.id in shipped else ""
    return {
        "priority": rule.priority,
        "id": rule.id,
        "reason": rule.reason,
        "verdict": str(rule.verdict or REASONS[rule.reason].verdict),
        "hosts": ", ".join((*rule.remote, *rule.reporting)) or "any",
        "file": rule.file + (replaces or (" (own)" if rule.is_own else "")),
        "server": rule.server,
    }


@rules.command("try", epilog='Example: mailroom rules try "550 5.1.1 User unknown" --remote mx.example.com')
@click.argument("reply", nargs=-1, required=True)
@click.option("--remote", default="", metavar="HOST", help="The host that answered.")
@click.option("--reporting", default="", metavar="HOST", help="The host that wrote the report.")
def try_reply(reply: Sequence[str], remote: str, reporting: str) -> None:
    """Say which rule decides a reply, and which others match it."""
    with refusals():
        rulebook = _rulebook(None)
    folded = fold(" ".join(reply).encode("utf-8", "replace").decode())
    best = rulebook.best(folded, remote.lower(), reporting.lower())
    click.echo(f"read as   {printable(folded)}")
    if best is None:
        click.echo("no rule decides it: a plain code such as 5.1.1 will, or it stays unidentified")
    matches = rulebook.every(folded)
    for match in matches:
        rule = match.rule
        sign = "decides  " if best is not None and rule.id == best.rule.id else "matches  "
        note = "" if rule.speaks_of(remote.lower(), reporting.lower()) else ", of other hosts only"
        note += ", a veto" if rule.veto else ""
        verdict = rule.verdict or REASONS[rule.reason].verdict
        click.echo(
            printable(
                f"{sign} {rule.id} (priority {rule.priority}{note}): {rule.reason}, {verdict}, by “{match.words}”"
            )
        )
    for match in matches:
        if match.rule.is_own and (advice := advise(match.rule, folded, rulebook, remote.lower(), reporting.lower())):
            click.echo(printable(advice))
