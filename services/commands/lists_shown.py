"""Lists, accounts and trials as a person reads them, and as JSON. The field names are the labels of the application."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from services.commands.terminal import output, printable
from services.fetcher.certificate import Certificate
from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.lists import ContactList
from services.fetcher.lists_sql import Stored
from services.fetcher.trial import Attempt, Trial

_TYPES: Final = {Protocol.POP3: "POP3", Protocol.IMAP: "IMAP"}
_TLS: Final = {Tls.IMPLICIT: "TLS", Tls.STARTTLS: "STARTTLS", Tls.NONE: "not encrypted"}


def print_overview(lists: Sequence[ContactList], accounts: Mapping[str, Stored]) -> None:
    """A row a list."""
    table = Table(box=None, pad_edge=False)
    for head in ("list", "bounce e-mail", "server", "type", "empty inbox", "fetched", "account"):
        table.add_column(head)
    for one in lists:
        stored = accounts.get(one.account or "")
        cells = [one.list_id, one.bounce_email]
        if stored is None:
            cells += ["no bounce account yet"]
        else:
            account = stored.account
            shared = f" ({len(stored.lists)} lists)" if len(stored.lists) > 1 else ""
            cells += [
                f"{account.host}:{account.port}",
                f"{_TYPES[account.protocol]}, {_TLS[account.tls]}",
                account.empty,
                _when(stored),
                f"{account.name}{shared}",
            ]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    output().print(table)


def print_list(one: ContactList, stored: Stored | None) -> None:
    """Every setting, under the label of its field; never a password."""
    rows = [("List", one.list_id), ("Title", one.title), ("List Bounce Email", one.bounce_email)]
    if stored is None:
        rows.append(("Bounce Account", "none yet"))
    else:
        account = stored.account
        others = [name for name in stored.lists if name != one.list_id]
        rows += [
            ("Bounce Account", account.name + (f", shared with {', '.join(others)}" if others else "")),
            ("Bounce Email Server Name", f"{account.host}:{account.port}"),
            ("Bounce Email User Name", account.user),
            ("Bounce Email Password", "set, and not shown" if stored.secret else "not set"),
            ("Login", account.login),
            ("Account Type", _TYPES[account.protocol]),
            ("Advanced Settings", _TLS[account.tls] + (", own certificate authority" if account.ca_pem else "")),
            *([("Folder", account.folder)] if account.folder else []),
            ("Empty Inbox When Done", account.empty),
            ("Fetched", _when(stored)),
        ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, value in rows:
        table.add_row(label, Text(printable(value)))
    output().print(table)


def trial_lines(trial: Trial) -> list[str]:
    """What was tried, what came of it, and the certificate that was refused; one line each."""
    lines = []
    if len(trial.attempts) > 1:
        lines += [
            f"tried {_way(attempt)}: {attempt.error.word if attempt.error else 'ok'}" for attempt in trial.attempts
        ]
    if trial.error is not None:
        lines.append(f"{trial.error.word}: {trial.error}")
    elif trial.endpoint is not None:
        endpoint = trial.endpoint
        lines.append(
            f"ok: logged in at {endpoint.host} port {endpoint.port} ({_TYPES[endpoint.protocol]}, {_TLS[endpoint.tls]}), "
            f"{trial.mails:,} mails"
        )
    if trial.certificate is not None:
        lines += _certificate_lines(trial.certificate)
    return [printable(line) for line in lines]


def _certificate_lines(shown: Certificate) -> list[str]:
    return [
        "the server shows this certificate:",
        f"  subject  {shown.subject}",
        f"  issuer   {shown.issuer}",
        f"  names    {', '.join(shown.names) or 'none'}",
        f"  valid    {shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d}",
        f"  SHA-256  {shown.sha256}",
        "Nothing secret was sent. Ask the server's operator for this fingerprint. If it is theirs, and its dates and names are "
        "right, give the certificate of their authority with --ca FILE",
    ]


def _way(attempt: Attempt) -> str:
    return f"port {attempt.way.port} with {_TLS[attempt.way.tls]}"


def _when(stored: Stored) -> str:
    account = stored.account
    if not account.is_active:
        return "paused"
    if not account.interval_s:
        return "when asked"
    return "every minute" if account.interval_s == 60 else f"every {account.interval_s / 60:g} minutes"
