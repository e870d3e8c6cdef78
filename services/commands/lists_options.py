"""The options of `mailroom lists add` and `edit` that stand for the fields of Bounce Account Details."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from services.commands.terminal import Refused
from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.settling import Wanted

_CA_LIMIT_BYTES: Final = 1024 * 1024
_LONGEST_MINUTES: Final = 31 * 24 * 60


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """The fields of Bounce Account Details."""
    for option in reversed(
        (
            click.option(
                "--server", metavar="HOST[:PORT]", help="Bounce Email Server Name, as in pop.your-domain.tld."
            ),
            click.option("--user", metavar="NAME", help="Bounce Email User Name. Default: the list's bounce e-mail."),
            click.option(
                "--type",
                "protocol",
                type=click.Choice([kind.value for kind in Protocol]),
                help="Account Type; POP3 is recommended.",
            ),
            click.option(
                "--tls",
                type=click.Choice(["auto", *(kind.value for kind in Tls)]),
                help="Advanced Settings: auto detect is recommended, and never ends without verified TLS.",
            ),
            click.option(
                "--ca",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="A certificate authority of your own, in PEM.",
            ),
            click.option("--folder", metavar="NAME", help="IMAP only; INBOX by default."),
            click.option(
                "--empty",
                metavar="bounces|all|nothing|move:FOLDER",
                help="Empty Inbox When Done: what leaves the mailbox once it is recorded. Recognised bounces by default.",
            ),
            click.option(
                "--every",
                type=click.IntRange(0, _LONGEST_MINUTES),
                metavar="MINUTES",
                help="How often it is fetched; 0: only when asked. 15 by default.",
            ),
            click.option(
                "--oauth2",
                "is_by_token",
                is_flag=True,
                help="No password: save, untested, and log in with `mailroom lists login`.",
            ),
            click.option("--untested", is_flag=True, help="Save without [Test Bounce Settings]; needs --tls by hand."),
        )
    ):
        command = option(command)
    return command


def read_settings(fields: Mapping[str, Any], *, no_ca: bool = False) -> Wanted:
    """What the options say. Raises Refused."""
    if no_ca and fields["ca"] is not None:
        raise click.UsageError("give --ca or --no-ca, not both")
    ca_pem = "" if no_ca else _read_ca(fields["ca"])
    return Wanted(
        server=fields["server"],
        user=fields["user"],
        protocol=Protocol(fields["protocol"]) if fields["protocol"] else None,
        tls=Tls(fields["tls"]) if fields["tls"] not in (None, "auto") else None,
        is_auto=fields["tls"] == "auto",
        ca_pem=ca_pem,
        folder=fields["folder"],
        empty=fields["empty"],
        interval_s=None if fields["every"] is None else 60 * int(fields["every"]),
        is_by_token=fields["is_by_token"],
    )


def _read_ca(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            text = stream.read(_CA_LIMIT_BYTES + 1)
        if len(text) > _CA_LIMIT_BYTES or b"PRIVATE KEY" in text:
            raise Refused(f"--ca: {path} is no certificate authority: it is too large, or holds a private key")
        return text.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"--ca: {path} cannot be read: {exc}") from exc
