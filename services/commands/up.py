"""`mailroom up`: all of it, on this machine, with nothing to set up before."""

import os
from pathlib import Path
from typing import Final

import click

from services import up as everything
from services.commands.terminal import disposing, named_database, open_for_writing, refusals, setting
from shared import logs
from shared.secrets import KEY_VARIABLE, is_key_set, new_key
from shared.service import stop_on_signals

KEY_FILE: Final = "mailroom.key"


@click.command(epilog="Example: mailroom up --port 8090")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Of the console; 8080 by default, 0: a free one."
)
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db, which is made.")
def up(port: int | None, database: str | None) -> None:
    """Run everything in one process, and print a link that logs you in to the console, once, within ten minutes.

    Needs no server: RabbitMQ and Redis are used if MAILROOM_AMQP_URL and MAILROOM_REDIS_URL name them. The console answers
    this machine only. Without MAILROOM_SECRET_KEY a key is made, and kept in ./mailroom.key; other commands take it by
    MAILROOM_SECRET_KEY_FILE=mailroom.key. A mail server on this machine or in an inner network is reached with
    MAILROOM_CONSOLE_INNER_SERVERS=1.
    """
    with refusals():
        logs.configure("up", setting("MAILROOM_LOG_LEVEL", "warning"))
        with disposing(open_for_writing(database)) as engine:
            variables = dict(os.environ) | {"MAILROOM_DATABASE_URL": named_database(database)}
            if not is_key_set(os.environ):
                variables[f"{KEY_VARIABLE}_FILE"] = str(_key_file())
            if port is not None:
                variables["MAILROOM_CONSOLE_PORT"] = str(port)
            settings = everything.Settings.from_env(variables)

            def say(link: str, name: str) -> None:
                servers = "RabbitMQ" if settings.has_broker else "no broker"
                servers += " and Redis" if settings.console.redis_url else " and no Redis"
                click.echo(f"everything runs in this process, with {servers}; Ctrl-C ends it", err=True)
                click.echo(f"open this to log in as {name}; it works once, for ten minutes:", err=True)
                click.echo(link)

            everything.run(settings, engine, stop_on_signals(), say)
    click.echo("stopped; `mailroom up` goes on where it was", err=True)


def _key_file() -> Path:
    """Made at the first start, for its owner's eyes only."""
    path = Path(KEY_FILE).absolute()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(new_key() + "\n")
        click.echo(
            f"key: made {path}; keep a copy of it apart: without it stored passwords have to be given anew", err=True
        )
    except FileExistsError:
        click.echo(f"key: {path}", err=True)
    return path
