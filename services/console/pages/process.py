"""Process Bounced Emails: pick contact list → mail server → find bounces → what to do → finished.

Each step is a page of its own address. A run is found, shown and decided; the pages only look at what the services do, so a
browser that is closed loses nothing.
"""

from typing import Any, Final

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from services.console.backing import backing
from services.console.forms import Form
from services.console.held_runs import apply_run, progress_of
from services.console.pages.lists import page_of_lists
from services.console.paging import Page, after_of
from services.console.roles import Role, needs
from services.console.sessions import person
from services.console.trials import TypedPassword, settling, trial_of
from services.fetcher.asking import ask
from services.fetcher.keeping import Keeping
from services.fetcher.lists import DEFAULT_INTERVAL_S, ContactList
from services.fetcher.lists_sql import Stored
from services.fetcher.settling import Wanted
from services.fetcher.tokens_sql import OAUTH2
from shared.errors import ConfigurationError
from shared.tables.ledger import APPLIED, APPLYING, DROPPED

blueprint = Blueprint("process", __name__, url_prefix="/process")

STEPS: Final = ("Pick contact list", "Mail server", "Find bounces", "What to do", "Finished")
_ROWS: Final = 50


@blueprint.get("/")
@needs(Role.OPERATOR)
def pick() -> ResponseReturnValue:
    """Step 1."""
    page, words = page_of_lists()
    return _step(0, "process/pick.html", page=page, words=words)


@blueprint.post("/")
@needs(Role.OPERATOR)
def picked() -> ResponseReturnValue:
    """To step 2 of that list."""
    list_id = request.form.get("list", "")
    if not list_id:
        flash("Select a contact list first.", "danger")
        return redirect(url_for("process.pick"))
    return redirect(url_for("process.server", list_id=list_id))


@blueprint.get("/list/<list_id>")
@needs(Role.OPERATOR)
def server(list_id: str) -> ResponseReturnValue:
    """Step 2."""
    one, stored = backing().lists.find_with_account(list_id)
    return _step(1, "process/server.html", list=one, stored=stored, form=Form(_no_fields()), trial=None, how="")


@blueprint.post("/list/<list_id>")
@needs(Role.OPERATOR)
def connect(list_id: str) -> ResponseReturnValue:
    """[Test Connection and Continue], or switch automatic processing on."""
    one, stored = backing().lists.find_with_account(list_id)
    if stored is None:
        return redirect(url_for("process.server", list_id=list_id))
    how = request.form.get("how", "")
    form = Form(_no_fields())
    trial = None
    if how == "automatic":
        _switch_on(one, stored)
        return redirect(url_for("lists.view"))
    if how != "manual":
        form.refuse("_schema", "Select how the bounces are processed first.")
    else:
        try:
            password = TypedPassword(request.form.get("password", ""))
            wanted = Wanted(has_new_password=True) if password.is_given else Wanted()
            trial = trial_of(list_id, one.bounce_email, stored, wanted, password)
            if trial.error is None:
                if password.is_given:
                    Keeping(backing().lists, settling(password), person().name).change(
                        one, stored, wanted, is_tried=False
                    )
                return redirect(url_for("process.ready", list_id=list_id, mails=trial.mails))
        except ConfigurationError as exc:
            form.refuse("_schema", str(exc))
    return _step(1, "process/server.html", list=one, stored=stored, form=form, trial=trial, how=how), 422


@blueprint.get("/list/<list_id>/find")
@needs(Role.OPERATOR)
def ready(list_id: str) -> ResponseReturnValue:
    """Step 3, before it begins."""
    one, stored = backing().lists.find_with_account(list_id)
    return _step(2, "process/ready.html", list=one, stored=stored, mails=request.args.get("mails", type=int))


@blueprint.post("/list/<list_id>/find")
@needs(Role.OPERATOR)
def find(list_id: str) -> ResponseReturnValue:
    """[Find Bounces]: begin a held run."""
    _, stored = backing().lists.find_with_account(list_id)
    if stored is None:
        return redirect(url_for("process.server", list_id=list_id))
    run_id = ask(backing().publisher, stored.account.name, backing().runs, person().name)
    return redirect(url_for("process.run", run_id=run_id))


@blueprint.get("/runs/<run_id>")
@needs(Role.VIEWER)
def run(run_id: str) -> ResponseReturnValue:
    """Steps 3, 4 and 5 of one run: wherever it is."""
    seen = _progress(run_id)
    page: Page[Any] = Page.of(
        backing().runs.said_page(run_id, after_of(request.args, 2), _ROWS + 1),
        _ROWS,
        lambda one: (one.raw_id, one.recipient),
    )
    return _step(_step_of(seen), "process/run.html", run_id=run_id, seen=seen, page=page)


@blueprint.get("/runs/<run_id>/progress")
@needs(Role.VIEWER)
def progress(run_id: str) -> ResponseReturnValue:
    """What the page of a run shows, for a script that asks every second."""
    return jsonify(_progress(run_id))


@blueprint.post("/runs/<run_id>/apply")
@needs(Role.OPERATOR)
def apply(run_id: str) -> ResponseReturnValue:
    """Let it count, and ask for the pass that cleans the mailbox."""
    if not apply_run(run_id, person().name, request.form.get("why", "")):
        flash("The broker is away: the mailbox is cleaned by the next pass.", "warning")
    return redirect(url_for("process.run", run_id=run_id))


@blueprint.post("/runs/<run_id>/drop")
@needs(Role.OPERATOR)
def drop(run_id: str) -> ResponseReturnValue:
    """Never let it count; its mails stay where they are."""
    backing().runs.drop(run_id, person().name, request.form.get("why", ""))
    return redirect(url_for("process.run", run_id=run_id))


def _progress(run_id: str) -> dict[str, Any]:
    seen = progress_of(run_id)
    if seen is None:
        abort(404)
    return seen


def _step_of(seen: dict[str, Any]) -> int:
    if seen["state"] in (APPLYING, APPLIED, DROPPED):
        return 4
    return 3 if seen["phase"] == "found" else 2


def _switch_on(one: ContactList, stored: Stored) -> None:
    interval_s = stored.account.interval_s or DEFAULT_INTERVAL_S
    wanted = Wanted(interval_s=interval_s, is_active=True)
    Keeping(backing().lists, settling(TypedPassword("")), person().name).change(one, stored, wanted, is_tried=False)
    flash(
        f"The bounces of {one.title or one.list_id} are processed automatically, every {interval_s // 60} minutes, as long as "
        "the scheduler runs.",
        "success",
    )


def _no_fields() -> Schema:
    return Schema()


def _step(number: int, template: str, **values: Any) -> str:
    return render_template(template, steps=STEPS, step=number, OAUTH2=OAUTH2, **values)
