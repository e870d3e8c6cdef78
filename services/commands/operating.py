"""`mailroom fetcher|classifier|ledger|scheduler|console`, `migrate` and `rebuild`: running the services and their stores."""

import sys

import click

from services.classifier import app as classifier_app
from services.commands.terminal import configure_logs, open_for_writing, progress_bar, refusals, required_setting
from services.console import app as console_app
from services.fetcher import app as fetcher_app
from services.ledger import app as ledger_app
from services.ledger.projection_redis import connect_projection
from services.ledger.upkeep import rebuild as rebuild_projection
from services.scheduler import app as scheduler_app
from shared.tables import connect, upgrade


@click.command(
    epilog="Needs MAILROOM_AMQP_URL and MAILROOM_DATABASE_URL; MAILROOM_SECRET_KEY for accounts with a stored password."
)
def fetcher() -> None:
    """Run the fetcher: reads bounce mailboxes when asked to."""
    sys.exit(fetcher_app.main())


@click.command(epilog="Needs MAILROOM_AMQP_URL.")
def classifier() -> None:
    """Run the classifier: raw bounces in, verdicts out."""
    sys.exit(classifier_app.main())


@click.command(
    epilog="Needs MAILROOM_AMQP_URL and MAILROOM_DATABASE_URL; MAILROOM_REDIS_URL for the look-ups of senders."
)
def ledger() -> None:
    """Run the ledger: counts verdicts and keeps the answers for senders."""
    sys.exit(ledger_app.main())


@click.command(epilog="Needs MAILROOM_AMQP_URL and MAILROOM_DATABASE_URL. Two of them do not disturb each other.")
def scheduler() -> None:
    """Run the scheduler: asks for the bounce accounts that are due, and tells of silent ones."""
    sys.exit(scheduler_app.main())


@click.command(
    epilog="Needs MAILROOM_DATABASE_URL, MAILROOM_AMQP_URL and MAILROOM_SECRET_KEY. Make the first user with: "
    "mailroom users add NAME --role administrator"
)
def console() -> None:
    """Run the console: its pages, by default on http://127.0.0.1:8080, and the HTTP API."""
    sys.exit(console_app.main())


@click.command(epilog="Example: MAILROOM_DATABASE_URL=postgresql://mailroom@db/mailroom mailroom migrate")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL.")
def migrate(database: str | None) -> None:
    """Bring the database's schema up to date."""
    with refusals():
        engine = connect(database or required_setting("MAILROOM_DATABASE_URL"))
        before, now = upgrade(engine)
        engine.dispose()
    if before == now:
        click.echo(f"the schema is up to date: {now}", err=True)
    else:
        click.echo(f"the schema was {before or 'empty'}, and is {now} now", err=True)


@click.command(epilog="Safe while traffic runs.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def rebuild(database: str | None) -> None:
    """Fill Redis anew from the database; senders ask the database meanwhile."""
    with refusals():
        configure_logs("rebuild")
        projection = connect_projection(required_setting("MAILROOM_REDIS_URL"))
        engine = open_for_writing(database, must_exist=True)
        done = 0
        with progress_bar("rebuilding", None) as advance:

            def progress(written: int, total: int) -> None:
                nonlocal done
                advance(written - done)
                done = written

            written = rebuild_projection(engine, projection, is_forced=True, progress=progress)
        engine.dispose()
    click.echo(
        f"{written:,} addresses written" if written else "nothing to write, or another rebuild is running", err=True
    )
