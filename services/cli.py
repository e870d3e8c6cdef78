"""`mailroom`: one command line for the whole of it."""

import sys
from io import TextIOWrapper

import click

from services.commands.asking import check, filter_csv
from services.commands.dead import dead
from services.commands.judging import classify, explain
from services.commands.operating import classifier, fetcher, ledger, migrate, rebuild
from services.commands.process import process
from services.commands.publishing import fetch, publish
from services.commands.rules import rules


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    publish,
    fetch,
    dead,
    rules,
    fetcher,
    classifier,
    ledger,
    migrate,
    rebuild,
):
    main.add_command(command)
