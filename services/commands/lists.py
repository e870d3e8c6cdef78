"""`mailroom lists`: contact lists and the accounts that their bounces come to."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import click
import orjson

from services.commands.lists_options import read_settings, settings
from services.commands.lists_shown import print_list, print_overview, trial_lines
from services.commands.marking import login_name
from services.commands.terminal import (
    Refused,
    ask_password,
    configure_logs,
    open_for_reading,
    open_for_writing,
    printable,
    refusals,
)
from services.fetcher.as_json import list_as_json, trial_as_json
from services.fetcher.keeping import Keeping
from services.fetcher.lists import BounceAccount, ContactList
from services.fetcher.lists_sql import SqlLists, Stored
from services.fetcher.login_factory import with_tokens
from services.fetcher.settling import Settled, Settling, TrialFailed, listed
from services.fetcher.tokens_sql import OAUTH2
from services.fetcher.trial import Trial
from shared.errors import ConfigurationError
from shared.secrets import open_secret_box

_database = click.option("--database", metavar="URL", help="Default: MAILROOM_DATABASE_URL, else ./mailroom.db.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(
    "lists",
    invoke_without_command=True,
    epilog="Example: mailroom lists add weekly --bounce-email bounce@example.com --server pop.example.com",
)
@_as_json
@_database
@click.pass_context
def lists(ctx: click.Context, as_json: bool, database: str | None) -> None:
    """Contact lists and their bounce accounts; without a command, all of them.

    Passwords are asked for, or read from MAILROOM_PASSWORD or MAILROOM_PASSWORD_FILE, and stored sealed with
    MAILROOM_SECRET_KEY. No command shows one.
    """
    if ctx.invoked_subcommand is not None:
        return
    with _reading(database) as store:
        accounts = {stored.account.name: stored for stored in store.accounts()}
        found = store.lists()
    if as_json:
        rows = [list_as_json(one, accounts.get(one.account or "")) for one in found]
        click.echo(orjson.dumps({"lists": rows}))
    elif found:
        print_overview(found, accounts)
    else:
        click.echo("there is no list yet: `mailroom lists add` adds one", err=True)


@lists.command(epilog="Example: mailroom lists add weekly --bounce-email bounce@example.com --server pop.example.com")
@click.argument("list_id", metavar="LIST")
@click.option("--bounce-email", required=True, metavar="ADDRESS", help="List Bounce Email: where its bounces go to.")
@click.option("--title", default="", metavar="TEXT", help="What people call it.")
@settings
@_database
def add(list_id: str, bounce_email: str, title: str, untested: bool, database: str | None, **fields: Any) -> None:
    """Add a list, test its bounce account, and save both if that works.

    A mailbox that is read for another list already is shared with it, and fetched once. Without --server the list has no
    account yet.
    """
    wanted = read_settings(fields)
    one = ContactList(list_id, bounce_email, title)
    with _writing(database) as store:
        settled = Keeping(store, _settling(store), login_name()).add(one, wanted, is_tried=not untested)
    if settled is None:
        click.echo(f"{list_id}: added, without a bounce account")
    elif isinstance(settled, Stored):
        click.echo(f"{list_id}: added; it shares the account {settled.account.name} with {listed(settled.lists)}")
    else:
        _say_saved(list_id, settled, "added")


@lists.command(
    epilog="Example: mailroom lists edit weekly --empty all   or, for a new password: mailroom lists edit weekly --password"
)
@click.argument("list_id", metavar="LIST")
@click.option("--bounce-email", metavar="ADDRESS", help="List Bounce Email.")
@click.option("--title", metavar="TEXT", help="What people call it.")
@settings
@click.option("--no-ca", is_flag=True, help="Trust this machine's certificate authorities again.")
@click.option("--password", "has_new_password", is_flag=True, help="Ask for a new password.")
@click.option("--pause/--resume", "is_paused", default=None, help="Whether it is fetched without being asked for.")
@_database
def edit(
    list_id: str,
    bounce_email: str | None,
    title: str | None,
    untested: bool,
    no_ca: bool,
    has_new_password: bool,
    is_paused: bool | None,
    database: str | None,
    **fields: Any,
) -> None:
    """Change a list, or its account for all lists that share it; what is not given stays.

    Whatever is about the way to the mailbox is tested before it is saved. Another server or user needs the password again.
    """
    wanted = replace(
        read_settings(fields, no_ca=no_ca),
        has_new_password=has_new_password,
        is_active=None if is_paused is None else not is_paused,
    )
    with _writing(database) as store:
        one, stored = store.find_with_account(list_id)
        if bounce_email is None and title is None and not wanted.says_anything():
            raise ConfigurationError("nothing to change was given: see `mailroom lists edit --help`")
        one = replace(
            one,
            bounce_email=one.bounce_email if bounce_email is None else bounce_email,
            title=one.title if title is None else title,
        )
        if stored is not None and wanted.says_anything() and len(stored.lists) > 1:
            click.echo(f"this changes the account of {listed(stored.lists)}", err=True)
        settled = Keeping(store, _settling(store), login_name()).change(one, stored, wanted, is_tried=not untested)
    if isinstance(settled, Settled):
        _say_saved(list_id, settled, "changed")
    else:
        click.echo(f"{list_id}: changed")


@lists.command(epilog="Example: mailroom lists show weekly")
@click.argument("list_id", metavar="LIST")
@_as_json
@_database
def show(list_id: str, as_json: bool, database: str | None) -> None:
    """Show a list and its bounce account, but never the password."""
    with _reading(database) as store:
        one, stored = store.find_with_account(list_id)
    if as_json:
        click.echo(orjson.dumps(list_as_json(one, stored)))
    else:
        print_list(one, stored)


@lists.command(epilog="Example: mailroom lists test weekly")
@click.argument("list_id", metavar="LIST")
@_as_json
@_database
def test(list_id: str, as_json: bool, database: str | None) -> None:
    """[Test Bounce Settings]: connect, log in, count the mails, log out. The mailbox is not changed.

    Exit status 1 when it does not work.
    """
    with _reading(database) as store:
        name = store.account_of(list_id)
        stored = store.find_account(name)
        if stored is None:
            store.find_list(list_id)
            raise ConfigurationError(f"the account {name!r} was removed meanwhile")
        trial = _settling(store).try_stored(stored)
    if as_json:
        click.echo(orjson.dumps(trial_as_json(list_id, trial)))
    else:
        _say(trial)
    if trial.error is not None:
        sys.exit(1)


@lists.command(epilog="Example: mailroom lists remove weekly --yes")
@click.argument("list_id", metavar="LIST")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_database
def remove(list_id: str, yes: bool, database: str | None) -> None:
    """Remove a list, and its account if no other list has it. What was found, reported and counted stays."""
    with _writing(database) as store:
        one, stored = store.find_with_account(list_id)
        is_last = stored is not None and list(stored.lists) == [list_id]
        what = f"the list {list_id}" + (f" and the account {one.account} with its password" if is_last else "")
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigurationError(f"this removes {what}: confirm it with --yes")
            click.confirm(f"Remove {printable(what)}? What was found and counted stays.", abort=True, err=True)
        dropped = store.remove(list_id, login_name())
    click.echo(f"{list_id}: removed" + (f", with its account {dropped}" if dropped else ""))


@contextmanager
def _reading(database: str | None) -> Iterator[SqlLists]:
    with refusals():
        configure_logs("lists")
        engine = open_for_reading(database)
        try:
            yield SqlLists(engine)
        finally:
            engine.dispose()


@contextmanager
def _writing(database: str | None) -> Iterator[SqlLists]:
    with refusals():
        configure_logs("lists")
        engine = open_for_writing(database, must_exist=True)
        try:
            yield SqlLists(engine)
        except TrialFailed as exc:
            for line in trial_lines(exc.trial):
                click.echo(line, err=True)
            raise Refused("nothing was saved: the bounce settings do not work") from exc
        finally:
            engine.dispose()


def _settling(store: SqlLists) -> Settling:
    open_box = partial(open_secret_box, os.environ)
    return Settling(store, open_box, _ask, make_login=with_tokens(store.engine, open_box))


def _ask(account: BounceAccount) -> str:
    return ask_password(f"{account.user} at {account.host}")


def _say_saved(list_id: str, settled: Settled, done: str) -> None:
    if settled.trial is not None:
        _say(settled.trial)
    if settled.trial is None and settled.account.login == OAUTH2:
        click.echo(f"{list_id}: {done}; now log in: mailroom lists login {list_id}")
    else:
        click.echo(f"{list_id}: {done}" + ("" if settled.trial else ", untested"))


def _say(trial: Trial) -> None:
    for line in trial_lines(trial):
        click.echo(line)
