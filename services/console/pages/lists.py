"""Contact Lists: view, create, edit, with Bounce Account Details and [Test Bounce Settings]."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from services.console.account_form import BY_HAND, ListSchema, NewListSchema, values_of, wanted_of
from services.console.backing import backing
from services.console.forms import Form, read_form
from services.console.paging import Page, after_of
from services.console.roles import Role, needs
from services.console.sessions import person
from services.console.trials import TypedPassword, settling, trial_of
from services.fetcher.keeping import Keeping
from services.fetcher.lists import ContactList
from services.fetcher.lists_sql import Stored, UnknownList
from services.fetcher.settling import TrialFailed
from services.fetcher.trial import Trial
from services.scheduler.passes_sql import read_passes
from services.scheduler.watching import judge
from shared.errors import ConfigurationError

blueprint = Blueprint("lists", __name__, url_prefix="/lists")

_ROWS: Final = 50
_LONGEST_WORDS: Final = 200


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """Every list, with its account and how that is."""
    page, words = page_of_lists()
    names = [stored.account.name for _, stored in page.rows if stored is not None]
    now, passes = read_passes(backing().engine, names)
    conditions = {one.account: (one, *judge(one, now)) for one in passes}
    return render_template("lists/view.html", page=page, words=words, conditions=conditions)


def page_of_lists() -> tuple[Page[tuple[ContactList, Stored | None]], str]:
    """Lists by name, from where the request says, and the words that it looks for."""
    words = request.args.get("words", "").strip()[:_LONGEST_WORDS]
    (after,) = after_of(request.args, 1) or ("",)
    found = backing().lists.page(after, _ROWS + 1, words)
    return Page.of(found, _ROWS, lambda one: (one[0].list_id,)), words


@blueprint.get("/new")
@needs(Role.ADMINISTRATOR)
def new() -> ResponseReturnValue:
    """An empty form."""
    return _page(Form(NewListSchema()), None, None)


@blueprint.post("/new")
@needs(Role.ADMINISTRATOR)
def create() -> ResponseReturnValue:
    """Save a new list, with its account tested."""
    form = read_form(NewListSchema(), request.form)

    def save(password: TypedPassword) -> str:
        one = ContactList(form.data["list_id"], form.data["bounce_email"], form.data.get("title", ""))
        Keeping(backing().lists, settling(password), person().name).add(one, wanted_of(form.data, None, password))
        return one.list_id

    return _saved(form, None, None, save)


@blueprint.get("/<list_id>/edit")
@needs(Role.ADMINISTRATOR)
def edit(list_id: str) -> ResponseReturnValue:
    """The form with what is stored; never the password."""
    one, stored = backing().lists.find_with_account(list_id)
    return _page(Form(ListSchema(), values_of(one, stored)), one, stored)


@blueprint.post("/<list_id>/edit")
@needs(Role.ADMINISTRATOR)
def change(list_id: str) -> ResponseReturnValue:
    """Save, after a test if the way to the mailbox changed."""
    one, stored = backing().lists.find_with_account(list_id)
    form = read_form(ListSchema(), request.form)

    def save(password: TypedPassword) -> str:
        changed = replace(one, bounce_email=form.data["bounce_email"], title=form.data.get("title", ""))
        Keeping(backing().lists, settling(password), person().name).change(
            changed, stored, wanted_of(form.data, stored, password)
        )
        return list_id

    return _saved(form, one, stored, save)


@blueprint.post("/test")
@needs(Role.ADMINISTRATOR)
def test_new() -> ResponseReturnValue:
    """[Test Bounce Settings] on what was typed for a new list."""
    return _tested(read_form(NewListSchema(), request.form), None, None)


@blueprint.post("/<list_id>/test")
@needs(Role.ADMINISTRATOR)
def test(list_id: str) -> ResponseReturnValue:
    """[Test Bounce Settings] on what was typed, before it is saved."""
    one, stored = backing().lists.find_with_account(list_id)
    return _tested(read_form(ListSchema(), request.form), one, stored)


@blueprint.post("/<list_id>/remove")
@needs(Role.ADMINISTRATOR)
def remove(list_id: str) -> ResponseReturnValue:
    """The list, and its account if no other has it."""
    dropped = backing().lists.remove(list_id, person().name)
    flash(f"{list_id} is removed" + (f", with its account {dropped}." if dropped else "."), "success")
    return redirect(url_for("lists.view"))


def _saved(
    form: Form, one: ContactList | None, stored: Stored | None, save: Callable[[TypedPassword], str]
) -> ResponseReturnValue:
    password = TypedPassword.of(form.values)
    if form.is_good:
        try:
            list_id = save(password)
        except TrialFailed as exc:
            return _page(form, one, stored, exc.trial, password, 422)
        except UnknownList:
            raise
        except ConfigurationError as exc:
            form.refuse("_schema", str(exc))
        else:
            flash(f"{list_id} is saved.", "success")
            return redirect(url_for("lists.view"))
    return _page(form, one, stored, None, password, 422)


def _tested(form: Form, one: ContactList | None, stored: Stored | None) -> ResponseReturnValue:
    password = TypedPassword.of(form.values)
    trial = None
    if form.is_good:
        try:
            list_id = one.list_id if one else form.data["list_id"]
            wanted = wanted_of(form.data, stored, password)
            trial = trial_of(list_id, form.data["bounce_email"], stored, wanted, password)
        except ConfigurationError as exc:
            form.refuse("_schema", str(exc))
    return _page(form, one, stored, trial, password)


def _page(
    form: Form,
    one: ContactList | None,
    stored: Stored | None,
    trial: Trial | None = None,
    password: TypedPassword | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    return (
        render_template(
            "lists/edit.html",
            form=form,
            list=one,
            stored=stored,
            trial=trial,
            kept=password.sealed(form.values) if password and trial else "",
            by_hand=BY_HAND,
        ),
        status,
    )
