"""Dead letters: what could not be handled; look, replay, discard."""

import json
from dataclasses import replace
from typing import Final

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.forms import Form
from services.console.pages.mails import SHOWN_BYTES, as_text
from services.console.paging import Page, moment_after
from services.console.roles import Role, needs
from services.console.sessions import person
from services.ledger.dead_letters_sql import DEAD, STAGES, STATES, Choice, FiledLetter

blueprint = Blueprint("dead_letters", __name__, url_prefix="/dead-letters")

_ROWS: Final = 100
REPLAYED_AT_ONCE: Final = 1_000
"""A person who replays all of a choice waits for no more than so many."""
COUNTED: Final = 10_000
"""Beyond it a page says that there are more."""


class DiscardSchema(Schema):
    """A person's word."""

    why = fields.String(
        required=True,
        metadata={"label": "Why", "help": "Kept in the audit."},
        validate=validate.Length(1, 1000),
    )


@blueprint.get("/")
@needs(Role.VIEWER)
def view() -> ResponseReturnValue:
    """A page of a choice, the latest failure first."""
    choice = _choice()
    found = backing().dead_letters.page(choice, moment_after(request.args), _ROWS + 1)
    page: Page[FiledLetter] = Page.of(
        found, _ROWS, lambda one: (one.letter.failed_at.isoformat(), one.letter.letter_id)
    )
    return render_template("dead_letters/view.html", page=page, choice=choice, stages=STAGES, states=STATES)


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
    raw_id = filed.letter.raw_id
    return render_template(
        "dead_letters/show.html",
        filed=filed,
        state=state,
        headers=headers,
        shown=shown,
        is_cut=len(filed.letter.body) > SHOWN_BYTES,
        is_recorded=raw_id is not None and backing().looking.is_known(raw_id),
        form=Form(DiscardSchema()),
    )


@blueprint.post("/replay")
@needs(Role.OPERATOR)
def replay() -> ResponseReturnValue:
    """Those that were ticked, or all of a choice, to the queues that they came from."""
    letters = backing().dead_letters
    choice = replace(_choice(), state=DEAD)
    if "all" in request.form:
        # those that cannot go anywhere hold up no others
        chosen = letters.page(replace(choice, is_known_queue=True), None, REPLAYED_AT_ONCE)
    else:
        found = (letters.find(letter_id) for letter_id in request.form.getlist("letter"))
        chosen = [one[0] for one in found if one is not None and one[1] == DEAD]
    if not chosen:
        flash("None of these can go back." if "all" in request.form else "Tick the letters first.", "warning")
        return redirect(_back())
    done = letters.replay_these(chosen, backing().publisher, person().name)
    if done:
        flash(f"{done:,} replayed. What cannot be handled again comes back here with its count.", "success")
    if done < len(chosen):
        flash(f"{len(chosen) - done:,} came from a queue that is not ours, and stay here: discard them.", "warning")
    if "all" in request.form and (left := letters.count(choice, COUNTED)):
        many = f"More than {COUNTED - 1:,}" if left == COUNTED else f"{left:,}"
        flash(f"{many} of this choice are dead: replay again, or run `mailroom dead replay` on the server.", "info")
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
    state = request.values.get("state", "")
    return Choice(
        stage=stage if stage in STAGES else None,
        reason=request.values.get("reason", "").strip() or None,
        state=state if state in STATES else DEAD,
    )


def _back() -> str:
    return url_for(
        "dead_letters.view", stage=request.form.get("stage") or None, reason=request.form.get("reason") or None
    )
