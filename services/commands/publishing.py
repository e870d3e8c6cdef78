"""`mailroom publish` and `mailroom fetch`: what other services and a person put on the queues."""

import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import click

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
from services.fetcher.lists_sql import SqlLists
from services.fetcher.mailbox_files import Found
from services.fetcher.sources import count_source, is_account_url, open_source
from services.ledger.runs_sql import SqlRuns
from shared.broker import BrokerBus
from shared.bus import Message
from shared.errors import ConfigurationError
from shared.identity import cut
from shared.wire import fetch_request_message, raw_bounce_message


@click.command(epilog="Example: mailroom publish bounce.eml   or, from a mail server's alias: mailroom publish -")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--list", "list_id", metavar="NAME", help="The contact list that these bounces belong to.")
def publish(files: Sequence[str], list_id: str | None) -> None:
    """Put raw bounces on the queue, as another service would. FILE is a message, an mbox, a folder, or - for standard input."""
    errors: list[str] = []
    published = 0
    with refusals():
        configure_logs("publish")
        if any(is_account_url(file) for file in files):
            raise ConfigurationError("publish reads files and folders; a mailbox is read by the fetcher")
        bus = BrokerBus(required_setting("MAILROOM_AMQP_URL"))
        try:
            with progress_bar("publishing", _total(files)) as advance:
                for batch in _batches(files, list_id, errors):
                    bus.publish(batch)
                    published += len(batch)
                    advance(len(batch))
        finally:
            bus.close()
    click.echo(f"{published:,} published and confirmed", err=True)
    for error in errors:
        click.echo(f"mailroom: {printable(error)}", err=True)
    if errors:
        sys.exit(2)


def _total(files: Sequence[str]) -> int | None:
    counts = [1 if file == "-" else count_source(file) for file in files]
    return None if None in counts else sum(count for count in counts if count is not None)


def _batches(files: Sequence[str], list_id: str | None, errors: list[str]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for file in files:
        for found in [_standard_input()] if file == "-" else open_source(file):
            if found.error:
                errors.append(found.error)
                continue
            batch.append(
                raw_bounce_message(
                    found.raw,
                    received_at=found.received_at,
                    list_id=list_id,
                    truncated=found.truncated,
                    source="publish",
                )
            )
            if len(batch) == 500:
                yield batch
                batch = []
    if batch:
        yield batch


def _standard_input() -> Found:
    raw, truncated = cut(sys.stdin.buffer.read())
    return Found("-", raw, datetime.now(UTC), truncated)


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
        runs = None
        if hold:
            runs = SqlRuns(ending.enter_context(disposing(open_for_writing(database, must_exist=True))))
        bus = BrokerBus(required_setting("MAILROOM_AMQP_URL"))
        try:
            for account, name in _accounts_of(names, database).items():
                run_id = uuid.uuid4().hex
                now = datetime.now(UTC)
                if runs is not None:
                    runs.hold(run_id)
                request = {"schema_version": 1, "account": account, "run_id": run_id, "requested_at": now}
                bus.publish([fetch_request_message(request)])  # type: ignore[arg-type]
                click.echo(f"{name}: requested as run {run_id}{', held for review' if hold else ''}")
        finally:
            bus.close()


def _accounts_of(names: Sequence[str], database: str | None) -> dict[str, str]:
    """The name that was given, by account: two lists that share one are read once. A file's accounts need no database."""
    if not database and not setting("MAILROOM_DATABASE_URL") and not has_default_database():
        return {name: name for name in names}
    engine = open_for_reading(database)
    lists = SqlLists(engine)
    asked: dict[str, str] = {}
    for name in names:
        asked.setdefault(lists.account_of(name), name)
    engine.dispose()
    return asked
