"""`mailroom publish` and `mailroom fetch`: what other services and a person put on the queues."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from services.commands.bus import open_publisher
from services.commands.marking import login_name
from services.commands.terminal import (
    configure_logs,
    disposing,
    has_default_database,
    open_for_reading,
    open_for_writing,
    printable,
    progress_bar,
    refusals,
    required_setting,
    setting,
)
from services.fetcher.asking import ask
from services.fetcher.lists_sql import SqlLists
from services.fetcher.mailbox_files import Found, read_stream
from services.fetcher.maildir import count_new, mark_seen, new_mails
from services.fetcher.sources import count_source, is_account_url, open_source
from services.ledger.runs_sql import SqlRuns
from shared.broker import BrokerBus
from shared.bus import Message
from shared.errors import ConfigurationError, MailroomError, Permanent
from shared.wire import raw_bounce_message

STDIN: Final = "-"
BATCH: Final = 500
PIPE_PATIENCE_S: Final = 10.0
"""How long a mail server's pipe waits for the broker; after that the mail server is the more patient one."""

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_TEMPFAIL: Final = 75


class _WrongUsage(click.UsageError):
    """Behind a pipe; the exit status is for a mail server, as sysexits.h has it."""

    exit_code = EX_USAGE


class _NoMessage(click.ClickException):
    """Trying again will not help."""

    exit_code = EX_DATAERR


class _TryAgain(click.ClickException):
    """The mail server should keep the mail."""

    exit_code = EX_TEMPFAIL


class _PublishCommand(click.Command):
    """Behind a pipe, wrong usage has the exit status that a mail server expects."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As any command."""
        is_piped = STDIN in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            if not is_piped:
                raise
            raise _WrongUsage(exc.format_message(), ctx) from exc


@click.command(
    cls=_PublishCommand,
    epilog="Example: mailroom publish bounce.eml   or, from a mail server's alias: mailroom publish -",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--list-id", "--list", "list_id", metavar="NAME", help="The contact list that these bounces belong to.")
@click.option(
    "--consume",
    is_flag=True,
    help="FILE is a Maildir: publish what is in new, and move each mail to cur, as seen, once it is confirmed.",
)
def publish(files: Sequence[str], list_id: str | None, consume: bool) -> None:
    """Put raw bounces on the queue, as another service would. FILE is a message, an mbox, a folder, or - for standard input.

    `publish -` reads one message, and its exit status is for a mail server: 0 once the broker has confirmed it; 75 when
    that could not be had, and the mail server should keep the mail and try again; 64 for wrong usage; 65 for no message at all.
    """
    if STDIN in files:
        if len(files) > 1 or consume:
            raise _WrongUsage("- takes one message from standard input, and stands alone", click.get_current_context())
        _publish_piped(list_id)
        return
    errors: list[str] = []
    published = 0
    with refusals():
        configure_logs("publish")
        if any(is_account_url(file) for file in files):
            raise ConfigurationError("publish reads files and folders; a mailbox is read by the fetcher")
        total = sum(count_new(Path(file)) for file in files) if consume else _total(files)
        with (
            open_publisher(required_setting("MAILROOM_AMQP_URL")) as publisher,
            progress_bar("publishing", total) as advance,
        ):
            for batch in _batches(_consumed(files) if consume else _kept(files), errors):
                publisher.publish([_message(found, list_id) for _, found in batch])
                for path, _ in batch:
                    if path is not None:
                        _mark_seen(path, errors)
                published += len(batch)
                advance(len(batch))
    click.echo(f"{published:,} published and confirmed", err=True)
    for problem in errors:
        click.echo(f"mailroom: {printable(problem)}", err=True)
    if errors:
        sys.exit(2)


def _publish_piped(list_id: str | None) -> None:
    """One message from a mail server. Whatever goes wrong here is no fault of the mail: it has to come again."""
    for number in (signal.SIGTERM, signal.SIGINT):  # some mail servers take a death by signal for a refusal
        signal.signal(number, signal.default_int_handler)
    try:
        configure_logs("publish")
        found = read_stream(sys.stdin.buffer, STDIN)
        if not found.raw.strip():
            raise _NoMessage("there is no message on standard input")
        bus = BrokerBus(required_setting("MAILROOM_AMQP_URL"), patience_s=PIPE_PATIENCE_S)
        try:
            bus.publish([_message(found, list_id)])
        finally:
            bus.close()
    except Permanent as exc:
        raise _WrongUsage(str(exc), click.get_current_context()) from exc  # the list's name: all else is ours
    except click.ClickException:
        raise
    except KeyboardInterrupt as exc:
        raise _TryAgain("interrupted before it was published, try again later") from exc
    except Exception as exc:
        what = str(exc) if isinstance(exc, MailroomError) else f"{type(exc).__name__}: {exc}"
        raise _TryAgain(f"not published, try again later: {what}") from exc


def _total(files: Sequence[str]) -> int | None:
    counts = [count_source(file) for file in files]
    return None if None in counts else sum(count for count in counts if count is not None)


def _kept(files: Sequence[str]) -> Iterator[tuple[Path | None, Found]]:
    return ((None, found) for file in files for found in open_source(file))


def _consumed(files: Sequence[str]) -> Iterator[tuple[Path | None, Found]]:
    return (pair for file in files for pair in new_mails(Path(file)))


def _batches(
    mails: Iterator[tuple[Path | None, Found]], errors: list[str]
) -> Iterator[list[tuple[Path | None, Found]]]:
    batch: list[tuple[Path | None, Found]] = []
    for path, found in mails:
        if found.error or not found.raw.strip():
            errors.append(found.error or f"{found.name} is empty, and no mail; it stays where it is")
            continue
        batch.append((path, found))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _message(found: Found, list_id: str | None) -> Message:
    return raw_bounce_message(
        found.raw, received_at=found.received_at, list_id=list_id, truncated=found.truncated, source="publish"
    )


def _mark_seen(path: Path, errors: list[str]) -> None:
    try:
        mark_seen(path)
    except OSError as exc:
        errors.append(
            f"{path} was published, and cannot be moved to cur: {exc.strerror}. It is published again next time"
        )


@click.command(epilog="Example: mailroom fetch newsletter")
@click.argument("names", nargs=-1, required=True, metavar="LIST...")
@click.option(
    "--hold", is_flag=True, help="Count nothing of it until `mailroom runs apply`; no mail is removed before."
)
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db if it is there.")
def fetch(names: Sequence[str], hold: bool, database: str | None) -> None:
    """Ask the fetchers to read the bounce accounts of these lists now. LIST may also be an account's own name."""
    with refusals(), ExitStack() as ending:
        configure_logs("fetch")
        amqp_url = required_setting(
            "MAILROOM_AMQP_URL",
            "Fetchers are asked through RabbitMQ; beside a `mailroom up` without one, process the bounces in its console",
        )
        engine = None
        if hold or database or setting("MAILROOM_DATABASE_URL") or has_default_database():
            opened = open_for_writing(database, must_exist=True) if hold else open_for_reading(database)
            engine = ending.enter_context(disposing(opened))
        asked = _accounts_of(names, engine) if engine else {name: name for name in names}
        runs = SqlRuns(engine) if hold and engine else None
        publisher = ending.enter_context(open_publisher(amqp_url))
        for account, name in asked.items():
            run_id = ask(publisher, account, runs, login_name())
            click.echo(f"{name}: requested as run {run_id}{', held for review' if hold else ''}")


def _accounts_of(names: Sequence[str], engine: Engine) -> dict[str, str]:
    """The name that was given, by account: two lists that share one are read once."""
    lists = SqlLists(engine)
    asked: dict[str, str] = {}
    for name in names:
        account = lists.account_of(name)
        if account == name and lists.find_account(name) is None:
            click.echo(
                f"mailroom: no list and no account of the database is called {printable(name)}; the fetchers are asked all "
                "the same, for their accounts file may have it",
                err=True,
            )
        asked.setdefault(account, name)
    return asked
