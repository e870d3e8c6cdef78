"""`mailroom dead`: what could not be handled, and the way back."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import islice
from typing import Any

import click
import orjson
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from services.classifier.own_rules import read_own_rules
from services.commands.bus import open_publisher
from services.commands.durations import DURATION
from services.commands.marking import login_name
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
from services.embedded import EmbeddedPipeline
from services.ledger.dead_letters_sql import STAGES, Choice, FiledLetter, SqlDeadLetters
from services.ledger.projection_redis import connect_projection
from shared.bus import Publisher
from shared.errors import ConfigurationError

_SHOWN_BYTES = 4096
_DISCARDED_AT_ONCE = 500
_IN_A_TABLE = 1_000


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which letters are meant."""

    @click.option("--stage", type=click.Choice(STAGES), help="Whose queue it died on.")
    @click.option("--id", "letter_id", metavar="ID", help="A letter's id, or its beginning.")
    @click.option("--reason", metavar="WORDS", help="A part of the reason.")
    @click.option("--older-than", type=DURATION, metavar="TIME", help="Failed last before that: 90m, 12h, 7d.")
    @click.option("--newer-than", type=DURATION, metavar="TIME", help="Failed last since then.")
    @click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
    @wraps(command)
    def chosen(
        stage: str | None,
        letter_id: str | None,
        reason: str | None,
        older_than: timedelta | None,
        newer_than: timedelta | None,
        **rest: Any,
    ) -> None:
        now = datetime.now(UTC)
        choice = Choice(
            stage,
            letter_id,
            reason,
            failed_before=now - older_than if older_than else None,
            failed_after=now - newer_than if newer_than else None,
        )
        command(choice, **rest)

    return chosen


@click.group()
def dead() -> None:
    """List, show, replay and discard what could not be handled."""


@dead.command("list", epilog="Example: mailroom dead list --stage classifier")
@_choosing
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each letter.")
def list_letters(choice: Choice, database: str | None, as_json: bool) -> None:
    """What is dead, by queue. Exit status 1 when there is any."""
    with refusals():
        configure_logs("dead")
        engine = open_for_reading(database)
        letters = SqlDeadLetters(engine)
        total = letters.count(choice)
        if as_json:
            for filed in letters.list(choice):
                click.echo(orjson.dumps(_summary(filed)))
        else:
            _print_letters(letters.list(choice), total)
        engine.dispose()
    sys.exit(1 if total else 0)


def _summary(filed: FiledLetter) -> dict[str, Any]:
    letter = filed.letter
    return {
        "id": letter.letter_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "attempts": filed.attempts,
        "first_failed_at": filed.first_failed_at,
        "last_failed_at": letter.failed_at,
        "raw_id": letter.raw_id,
        "run_id": letter.run_id,
        "publisher_id": letter.message_id,
        "size_bytes": filed.size_bytes,
    }


def _print_letters(letters: Iterator[FiledLetter], total: int) -> None:
    if not total:
        output().print("There are no dead letters.")
        return
    if total > _IN_A_TABLE:  # a table is laid out when all of it is there
        for filed in letters:
            letter = filed.letter
            failed_at = f"{letter.failed_at:%Y-%m-%d %H:%M}"
            click.echo(
                printable(f"{letter.letter_id[:12]}  {letter.queue}  {filed.attempts}  {failed_at}  {letter.reason}")
            )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "queue", "attempts", "last failed", "reason"):
        table.add_column(column, overflow="fold", no_wrap=column in ("id", "queue", "last failed"))
    for filed in letters:
        letter = filed.letter
        cells = (
            letter.letter_id[:12],
            letter.queue,
            str(filed.attempts),
            f"{letter.failed_at:%Y-%m-%d %H:%M}",
            letter.reason,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    output().print(table)


@dead.command("show", epilog="Example: mailroom dead show --id 3f2a")
@_choosing
def show_letter(choice: Choice, database: str | None) -> None:
    """One letter whole: the reason, its history, and the message as text."""
    with refusals():
        configure_logs("dead")
        engine = open_for_reading(database)
        letters = SqlDeadLetters(engine)
        total = letters.count(choice)
        if total != 1:
            raise ConfigurationError(f"{total} dead letters are meant; show takes one: name it with --id")
        first = next(letters.list(choice), None)
        found = letters.find(first.letter.letter_id) if first else None
        if found is None:
            raise ConfigurationError("that letter has just gone: `mailroom dead list` shows what there is")
        filed, _ = found
    for name, value in _summary(filed).items():
        click.echo(f"{name:16} {printable(str(value))}")
    click.echo(f"{'content_type':16} {printable(filed.letter.content_type)}")
    click.echo(f"{'headers':16} {printable(filed.letter.headers)}\n")
    click.echo(printable(filed.letter.body[:_SHOWN_BYTES].decode("utf-8", "replace")))


@dead.command("replay", epilog="Example: mailroom dead replay --all")
@_choosing
@click.option("--all", "every", is_flag=True, help="Every letter there is.")
def replay(choice: Choice, database: str | None, every: bool) -> None:
    """Send letters back to the queue that they came from; what was counted is not counted again."""
    if choice == Choice() and not every:
        raise click.UsageError("say which letters: --stage, --id, --reason, --older-than, --newer-than or --all")
    with refusals():
        configure_logs("dead")
        engine = open_for_writing(database, must_exist=True)
        letters = SqlDeadLetters(engine)
        done = 0
        with _publisher(engine) as publisher, progress_bar("replaying", _count(letters, choice)) as advance:

            def progress(replayed: int) -> None:
                nonlocal done
                advance(replayed - done)
                done = replayed

            replayed = letters.replay(choice, publisher, login_name(), progress)
        still = letters.count(choice)
    click.echo(f"{replayed:,} replayed" + (f"; {still:,} of those that were meant are dead" if still else ""))


@dead.command("discard", epilog='Example: mailroom dead discard --id 3f2a --why "a test of ours"')
@_choosing
@click.option("--all", "every", is_flag=True, help="Every letter there is.")
@click.option("--why", required=True, metavar="TEXT", help="Why; kept with each of them.")
@click.option("--who", metavar="NAME", help="Who says so; by default your login name.")
def discard(choice: Choice, database: str | None, every: bool, why: str, who: str | None) -> None:
    """Put letters aside for good: they are not handled, and stay to be looked at."""
    if choice == Choice() and not every:
        raise click.UsageError("say which letters: --stage, --id, --reason, --older-than, --newer-than or --all")
    with refusals():
        configure_logs("dead")
        letters = SqlDeadLetters(open_for_writing(database, must_exist=True))
        discarded = 0
        with progress_bar("discarding", _count(letters, choice)) as advance:
            chosen = letters.list(choice)
            while page := [filed.letter.letter_id for filed in islice(chosen, _DISCARDED_AT_ONCE)]:
                discarded += letters.discard(page, who or login_name(), why)
                advance(len(page))
    click.echo(f"{discarded:,} discarded")


def _count(letters: SqlDeadLetters, choice: Choice) -> int:
    """Raises ConfigurationError when an id was given, and no dead letter has it."""
    count = letters.count(choice)
    if choice.letter_id is not None and not count:
        raise ConfigurationError(f"no dead letter has the id {choice.letter_id!r}: `mailroom dead list` shows them")
    return count


@contextmanager
def _publisher(engine: Engine) -> Iterator[Publisher]:
    """The broker when one is configured, else the handlers themselves."""
    amqp_url = setting("MAILROOM_AMQP_URL")
    if amqp_url:
        with open_publisher(amqp_url) as publisher:
            yield publisher
        return
    redis_url = setting("MAILROOM_REDIS_URL")
    projection = connect_projection(redis_url) if redis_url else None
    own_rules = read_own_rules(setting("MAILROOM_RULES_DIR"))
    with EmbeddedPipeline(engine, projection, own_rules) as pipeline:
        yield pipeline.bus
