"""`mailroom`: one command line for the whole of it."""

import os
import sys
from io import TextIOWrapper
from typing import Any, Final, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from services.commands.accounts import accounts
from services.commands.archive import archive
from services.commands.asking import check, filter_csv
from services.commands.contacts import export_contacts, import_contacts
from services.commands.contract import contract
from services.commands.dead import dead
from services.commands.exchanging import export_csv, import_csv
from services.commands.history import history
from services.commands.judging import classify, explain
from services.commands.lists import lists
from services.commands.login import lists_login
from services.commands.marking import release, suppress
from services.commands.operating import classifier, console, fetcher, ledger, migrate, rebuild, scheduler
from services.commands.policy import policy
from services.commands.process import process
from services.commands.publishing import fetch, publish
from services.commands.reconciling import reconcile
from services.commands.rules import rules
from services.commands.runs import runs
from services.commands.secret_keys import secret_key, secrets
from services.commands.terminal import complain, refusals
from services.commands.up import up
from services.commands.users import users

INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""What a shell makes of SIGINT and SIGPIPE."""


class _CommandLine(click.Group):
    """All its commands tell errors in one form, and end quietly when nobody reads their output to its end."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command; the process ends with its exit status."""
        try:
            sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except NoArgsIsHelpError as exc:
            exc.show()
            sys.exit(exc.exit_code)
        except click.ClickException as exc:
            if isinstance(exc, click.UsageError) and exc.ctx is not None:
                click.echo(f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help' for help.\n", err=True)
            complain(exc.format_message())
            sys.exit(exc.exit_code)
        except click.Abort:
            complain("interrupted")
            sys.exit(INTERRUPTED)

    def invoke(self, ctx: click.Context) -> None:
        """Run a command, and write what it left in a buffer."""
        try:
            with refusals():
                try:
                    super().invoke(ctx)
                finally:
                    sys.stdout.flush()
        except BrokenPipeError:
            sys.exit(NOBODY_READS)
        finally:
            _give_up_what_cannot_be_written()


def _give_up_what_cannot_be_written() -> None:
    """What is still in a buffer then would be tried once more at the end of the process, and fail with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@click.group(cls=_CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mailroom-bounces")
def main() -> None:
    """Reads bounces, judges them, and tells senders whom they may still write to.

    Start with `mailroom process SOURCE` and `mailroom check ADDRESS`.
    """
    for stream in (sys.stdout, sys.stderr):  # a mail's words may not fit the terminal's charset
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (
    process,
    classify,
    explain,
    check,
    filter_csv,
    history,
    suppress,
    release,
    policy,
    export_csv,
    import_csv,
    publish,
    fetch,
    runs,
    archive,
    accounts,
    dead,
    lists,
    secret_key,
    secrets,
    users,
    rules,
    contract,
    up,
    fetcher,
    classifier,
    ledger,
    scheduler,
    console,
    migrate,
    rebuild,
    reconcile,
):
    main.add_command(command)

for command in (lists_login, import_contacts, export_contacts):
    lists.add_command(command)
