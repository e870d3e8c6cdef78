"""`mailroom policy`: when an address counts as bounced."""

import click

from services.commands.marking import login_name, open_marking, warn_of_untold
from services.commands.terminal import configure_logs, open_for_writing, progress_bar, refusals
from services.ledger.policy import Policy
from services.ledger.policy_sql import InForce, SqlPolicy
from shared.errors import ConfigurationError


@click.command(epilog='Example: mailroom policy --soft-limit 3 --why "our provider asked for it"')
@click.option("--soft-limit", type=click.IntRange(1, 1000), metavar="N", help="The N-th soft bounce counts as hard.")
@click.option("--complaints", type=click.Choice(["suppress", "ignore"]), help="What a complaint does to its address.")
@click.option("--why", metavar="TEXT", help="Why; kept with the change.")
@click.option("--who", metavar="NAME", help="Who says so; by default your login name.")
@click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
def policy(
    soft_limit: int | None, complaints: str | None, why: str | None, who: str | None, database: str | None
) -> None:
    """Show the policy, or change it and judge every address anew by it.

    Safe while traffic runs. After an interruption the same command, or a running ledger, goes on.
    """
    is_change = soft_limit is not None or complaints is not None
    with refusals():
        configure_logs("policy")
        if is_change and not (why or "").strip():
            raise ConfigurationError(
                "say why with --why: whoever finds addresses released or suppressed will want to know"
            )
        engine = open_for_writing(database, must_exist=True)
        policies = SqlPolicy(engine)
        newest = policies.in_force()
        if is_change:
            wanted = Policy(
                newest.limits.soft_limit if soft_limit is None else soft_limit,
                newest.limits.complaint_suppresses if complaints is None else complaints == "suppress",
            )
            newest = policies.change(wanted, who or login_name(), why or "")
        if is_change and newest.recomputed_at is None:
            changed, is_told = 0, True
            with open_marking(engine) as marking, progress_bar("judging anew", None) as advance:
                done = 0

                def progress(reached: int, total: int) -> None:
                    nonlocal done
                    advance(reached - done)
                    done = reached

                for changes in policies.recompute(progress):
                    changed += len(changes)
                    is_told = is_told and marking.tell(changes)
            warn_of_untold(is_told)
            click.echo(f"{changed:,} addresses stand otherwise now", err=True)
            newest = policies.in_force()
        engine.dispose()
    _print(newest)


def _print(newest: InForce) -> None:
    complaints = (
        "suppresses its address" if newest.limits.complaint_suppresses else "is recorded and counts for nothing"
    )
    click.echo(f"version {newest.version}, since {newest.made_at:%Y-%m-%d %H:%M} UTC")
    click.echo(f"soft bounces of an address until it counts as hard: {newest.limits.soft_limit}")
    click.echo(f"a complaint {complaints}")
    if newest.recomputed_at is None:
        click.echo("not every address stands by it yet: a running ledger goes on, or give the change again")
