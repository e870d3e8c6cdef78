"""`mailroom history`: what is known of an address, and why it stands as it does."""

import click
import orjson
from rich.table import Table
from rich.text import Text

from services.commands.marking import describe
from services.commands.terminal import configure_logs, open_for_reading, output, printable, refusals
from services.ledger.history import AuditEntry, Delivered, Entry, EventEntry, Evidence, History, MarkEntry
from services.ledger.history_sql import NEWEST, SqlHistory
from services.ledger.policy import State
from services.ledger.ports import SUPPRESSED
from shared.addresses import normalise_address

_ID_SHOWN = 12


@click.command(epilog="Example: mailroom history jane@example.com")
@click.argument("address", metavar="ADDRESS")
@click.option("--all", "every", is_flag=True, help=f"Everything; by default the newest {NEWEST} of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def history(address: str, every: bool, as_json: bool, database: str | None) -> None:
    """Every bounce of an address with its evidence, whether it counts, and what people said; in order of time."""
    with refusals():
        configure_logs("history")
        recipient = normalise_address(address)
        engine = open_for_reading(database)
        found = SqlHistory(engine).read(recipient, None if every else NEWEST)
        engine.dispose()
    if as_json:
        click.echo(orjson.dumps(_as_object(found)))
    else:
        _print(found)


def _as_object(found: History) -> dict[str, object]:
    standing = found.standing
    return {
        "address": found.recipient,
        "is_known": found.is_known,
        "state": standing.state.value,
        "reason": standing.reason,
        "since": standing.since,
        "soft": standing.soft,
        "hard": standing.hard,
        "soft_limit": found.soft_limit,
        "event_id": standing.event_id,
        "version": found.version,
        "changed_at": found.changed_at,
        "events_total": found.events_total,
        "marks_total": found.marks_total,
        "audits_total": found.audits_total,
        "entries": found.entries,
    }


def _print(found: History) -> None:
    click.echo(f"{printable(found.recipient)}: {_stands(found)}")
    if not found.entries:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("counts", overflow="fold", max_width=26)
    table.add_column("evidence", overflow="fold", ratio=1)
    told = {(entry.at, entry.who) for entry in found.entries if isinstance(entry, MarkEntry)}
    for entry in found.entries:
        if isinstance(entry, AuditEntry) and (entry.at, entry.who) in told:
            continue  # the mark beside it says the same
        cells = _cells(entry)
        table.add_row(f"{entry.at:%Y-%m-%d %H:%M}", *(Text(cell) for cell in cells))
    click.echo()
    output().print(table)
    _print_left_out(found)


def _stands(found: History) -> str:
    standing = found.standing
    if not found.is_known:
        return "nothing is known of it; it may be mailed"
    if standing.state != State.OK:
        return f"do not mail: {describe(standing)}"
    softs = f", {standing.soft} of {found.soft_limit} soft bounces" if standing.soft else ""
    return f"may be mailed{softs}"


def _cells(entry: Entry) -> tuple[str, str, str]:
    if isinstance(entry, MarkEntry):
        said = "suppressed by hand" if entry.state == SUPPRESSED else "released by hand"
        return said, "", _one_line(f"{entry.who}: {entry.why}")
    if isinstance(entry, AuditEntry):
        return _one_line(entry.what), "", _one_line(f"{entry.who}: {entry.why}")
    counts = ("yes, it decided" if entry.decided else "yes") if entry.counts else f"no: {_one_line(entry.why_not)}"
    return f"{entry.severity}\n{_one_line(entry.reason)}".strip(), counts, _evidence(entry)


def _evidence(entry: EventEntry) -> str:
    parts = [_of_report(one) for one in entry.reports]
    if entry.reports_total > len(entry.reports):
        parts.append(f"and {entry.reports_total - len(entry.reports):,} more reports of it: see --all")
    return "\n".join(parts)


def _of_report(one: Evidence) -> str:
    codes = " ".join(_one_line(code) for code in (one.reply_code, one.status) if code)
    said = f"{codes} {_one_line(one.diagnostic_code)}".strip()
    words = f', words "{_one_line(one.words)}"' if one.words else ""
    from_ = f"by {_one_line(one.reporting_mta)}, " if one.reporting_mta else ""
    of = f"of {_one_line(one.remote_mta)}, " if one.remote_mta else ""
    where = "".join(
        f", {name} {_one_line(value)}"
        for name, value in (("list", one.list_id), ("account", one.account), ("campaign", one.campaign))
        if value
    )
    lines = (
        said,
        f"rule {_one_line(one.rule)}{words}",
        f"reported {from_}{of}received {one.received_at:%Y-%m-%d %H:%M:%S}",
        f"mail {one.raw_id[:_ID_SHOWN]} {', '.join(_way(way) for way in one.delivered)}{where}",
    )
    return "\n".join(line for line in lines if line)


def _way(way: Delivered) -> str:
    if way.run_id is None:
        return "without a run"
    return f"run {_one_line(way.run_id)}" + (f" ({way.hold})" if way.hold else "")


def _one_line(text: str | None) -> str:
    return printable(" ".join((text or "").split()))


def _print_left_out(found: History) -> None:
    for kind, total, name in (
        (EventEntry, found.events_total, "events"),
        (MarkEntry, found.marks_total, "marks"),
    ):
        shown = sum(isinstance(entry, kind) for entry in found.entries)
        if shown < total:
            click.echo(f"the newest {shown:,} of {total:,} {name}; --all shows every one", err=True)
