"""`mailroom process`: the whole pipeline in this process."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click
import orjson
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from services.classifier.own_rules import read_own_rules
from services.commands.terminal import (
    ask_password,
    configure_logs,
    open_for_writing,
    output,
    printable,
    progress_bar,
    refusals,
    setting,
)
from services.embedded import EmbeddedPipeline, Tally
from services.fetcher.emptying import Empty, read_emptying
from services.fetcher.endpoint import Protocol
from services.fetcher.mailbox_files import Found
from services.fetcher.sources import clean_source, count_source, is_account_url, open_source, read_account_url
from services.fetcher.store_sql import SqlCheckpoint
from services.ledger.projection_redis import connect_projection
from shared.errors import ConfigurationError, MailroomError

COUNTS: Final = ("hard", "soft", "unidentified", "ignored", "duplicate", "dead_lettered")

_LISTED: Final = 50

_MEANING: Final = {
    "hard": "this address failed for good",
    "soft": "temporary; the fifth of an address counts as hard",
    "unidentified": "a bounce that nobody recognises, kept for review",
    "ignored": "no bounce: auto-replies, newsletters, people",
    "duplicate": "seen before, counted once",
    "dead_lettered": "could not be handled, see `mailroom dead list`",
}


@click.command(
    epilog="Example: mailroom process samples/   or   mailroom process --empty bounces imaps://bounce@example.com@mail.example.com"
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--empty", default="nothing", metavar="bounces|all|move:FOLDER", help="Clean an account after recording.")
@click.option("--list", "list_id", metavar="NAME", help="The contact list that these bounces belong to.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def process(sources: Sequence[str], empty: str, list_id: str | None, database: str | None, as_json: bool) -> None:
    """Read bounces, judge them, count them: no server is needed.

    SOURCE is an .eml file, an mbox, a Maildir, a folder of messages, or a mailbox as pop3(s):// or
    imap(s)://user@host[:port][/folder]. Files are never changed, and a mailbox only with --empty.
    """
    with refusals():
        configure_logs("process")
        _check_emptying(sources, empty)
        password = _password(sources)
        if any(is_account_url(source) or os.path.lexists(source) for source in sources):
            tally, suppressed, cleaned = _run(sources, password, empty, list_id, database)
        else:  # no database is made for it: an empty one would answer that everybody may be mailed
            tally = Tally("", errors=[found.error or "" for found in _open(sources, password)])
            suppressed, cleaned = [], 0
    if as_json:
        _print_json(tally, suppressed, cleaned)
    elif tally.found or not tally.errors:
        _print_table(tally, suppressed, cleaned)
    for error in tally.errors:
        click.echo(f"mailroom: {printable(error)}", err=True)
    if tally.errors:
        sys.exit(2)


def _run(
    sources: Sequence[str], password: str, empty: str, list_id: str | None, database: str | None
) -> tuple[Tally, list[str], int]:
    """What was found, who is newly suppressed, and how many mails left their mailboxes."""
    own_rules = read_own_rules(setting("MAILROOM_RULES_DIR"))
    engine = open_for_writing(database)
    redis_url = setting("MAILROOM_REDIS_URL")
    projection = connect_projection(redis_url) if redis_url else None
    with (
        EmbeddedPipeline(engine, projection, own_rules) as pipeline,
        progress_bar("processing", _count(sources)) as advance,
    ):
        mails = _open(sources, password)
        tally = pipeline.process(mails, list_id=list_id, keeps_names=empty != "nothing", progress=advance)
    cleaned = _clean(sources, empty, tally, engine, password)
    engine.dispose()
    return tally, sorted(pipeline.newly_suppressed), cleaned


def _open(sources: Sequence[str], password: str) -> Iterator[Found]:
    for source in sources:
        yield from open_source(source, password)


def _count(sources: Sequence[str]) -> int | None:
    counts = [count_source(source) for source in sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _password(sources: Sequence[str]) -> str:
    accounts = [source for source in sources if is_account_url(source)]
    if not accounts:
        return ""
    for source in accounts:
        read_account_url(source)
    return ask_password(accounts[0])


def _check_emptying(sources: Sequence[str], empty: str) -> None:
    """Whether the sources can be emptied so, before anything is done."""
    emptying = read_emptying(empty)
    if emptying.empty == Empty.NOTHING:
        return
    accounts = [read_account_url(source) for source in sources if is_account_url(source)]
    if not accounts:
        raise ConfigurationError("--empty is for accounts: files and folders are never changed")
    if emptying.empty == Empty.MOVE and any(account.endpoint.protocol == Protocol.POP3 for account in accounts):
        raise ConfigurationError("POP3 knows no folders to move to; choose --empty bounces or all")


def _clean(sources: Sequence[str], empty: str, tally: Tally, engine: Engine, password: str) -> int:
    """How many mails left their mailboxes; a mailbox that cannot be cleaned is one more error of the tally."""
    if empty == "nothing":
        return 0
    checkpoint = SqlCheckpoint(engine)
    cleaned = 0
    for source in filter(is_account_url, sources):
        try:
            cleaned += clean_source(source, empty, tally.raw_ids, checkpoint.judged, password)
        except MailroomError as exc:
            tally.errors.append(f"{source} was not cleaned: {exc}")
    return cleaned


def _print_json(tally: Tally, suppressed: Sequence[str], cleaned: int) -> None:
    result = {
        "run_id": tally.run_id,
        "found": tally.found,
        **{name: tally.counts[name] for name in COUNTS},
        "newly_suppressed": suppressed,
        "cleaned": cleaned,
        "errors": tally.errors,
    }
    click.echo(orjson.dumps(result))


def _print_table(tally: Tally, suppressed: Sequence[str], cleaned: int) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("found", justify="left")
    table.add_column(f"{tally.found:,}", justify="right")
    table.add_column("")
    for name in COUNTS:
        style = "bold" if tally.counts[name] else "dim"
        table.add_row(name.replace("_", "-"), f"{tally.counts[name]:,}", _MEANING[name], style=style)
    if cleaned:
        table.add_row("cleaned", f"{cleaned:,}", "removed from the mailbox")
    console = output()
    console.print(table)
    console.print()
    if not suppressed:
        console.print("No address is newly suppressed.")
        return
    console.print(f"Newly suppressed, and not to be mailed again ({len(suppressed):,}):")
    for address in suppressed[:_LISTED]:
        console.print(Text(f"  {printable(address)}"), soft_wrap=True)
    if len(suppressed) > _LISTED:
        console.print(f"  and {len(suppressed) - _LISTED:,} more: --json lists them all")
