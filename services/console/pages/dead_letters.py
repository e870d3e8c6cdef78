"""Dead letters: what could not be handled; look, replay, discard."""

import json
from typing import Final

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.pages.mails import SHOWN_BYTES, as_text
from services.console.paging import Page, moment_after
from services.console.roles import Role, needs
from services.console.sessions import person
from services.ledger.dead_letters_sql import Choice, FiledLetter

blueprint = Blueprint("dead_letters", __name__, url_prefix="/dead-letters")

_ROWS: Final = 100
REPLAYED_AT_ONCE: Final = 1_000
"""A person who replays all of a choice waits for no more than so many."""
STAGES: Final = ("fetcher", "classifier", "ledger")


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """A page of those that are dead, the latest failure first."""
    choice = _choice()
    found = backing().dead_letters.page(choice, moment_after(request.args), _ROWS + 1)
    page: Page[FiledLetter] = Page.of(
        found, _ROWS, lambda one: (one.letter.failed_at.isoformat(), one.letter.letter_id)
    )
    return render_template("dead_letters/view.html", page=page, choice=choice, stages=STAGES)


@blueprint.get("/<letter_id>")
@needs(Role.VIEWER)
def show(letter_id: str) -> ResponseReturnValue:
    """One in full."""
    found = backing().dead_letters.find(letter_id)
    if found is None:
        abort(404)
    filed, state = found
    headers = json.loads(filed.letter.headers)
    shown = as_text(filed.letter.body[:SHOWN_BYTES])
    return render_template("dead_letters/show.html", filed=filed, state=state, headers=headers, shown=shown)


@blueprint.post("/replay")
@needs(Role.OPERATOR)
def replay() -> ResponseReturnValue:
    """Those that were ticked, or all of a choice, to the queues that they came from."""
    letters = backing().dead_letters
    if "all" in request.form:
        choice = _choice()
        chosen = letters.page(choice, None, REPLAYED_AT_ONCE)
    else:
        found = (letters.find(letter_id) for letter_id in request.form.getlist("letter"))
        chosen = [one[0] for one in found if one is not None and one[1] == "dead"]
    if not chosen:
        flash("Tick the letters first.", "warning")
        return redirect(_back())
    done = letters.replay_these(chosen, backing().publisher)
    flash(f"{done:,} replayed. What cannot be handled again comes back here with its count.", "success")
    if len(chosen) == REPLAYED_AT_ONCE:
        flash("There may be more: replay again, or run `mailroom dead replay --all` on the server.", "info")
    return redirect(_back())


@blueprint.post("/discard")
@needs(Role.OPERATOR)
def discard() -> ResponseReturnValue:
    """Those that were ticked are put aside for good."""
    done = backing().dead_letters.discard(
        request.form.getlist("letter")[:_ROWS], person().name, request.form.get("why", "")
    )
    flash(f"{done:,} discarded.", "success" if done else "warning")
    return redirect(_back())


def _choice() -> Choice:
    stage = request.values.get("stage", "")
    return Choice(stage=stage if stage in STAGES else None, reason=request.values.get("reason", "").strip() or None)


def _back() -> str:
    return url_for(
        "dead_letters.view", stage=request.form.get("stage") or None, reason=request.form.get("reason") or None
    )
