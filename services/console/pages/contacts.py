"""The contacts of a list: who is on it, who of them bounced and why; import and export."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, Response, flash, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from marshmallow import Schema, fields, validate

from services.console.backing import backing
from services.console.contacts_csv import read_contacts, write_contacts, write_head
from services.console.contacts_sql import Added
from services.console.forms import Form, read_form
from services.console.paging import Page, after_of
from services.console.roles import Role, needs
from services.console.sessions import person
from shared.contacts import Unreadable
from shared.errors import ConfigurationError

blueprint = Blueprint("contacts", __name__, url_prefix="/lists/<list_id>/contacts")

_ROWS: Final = 100
_TOLD: Final = 20


class ImportSchema(Schema):
    """A file of them."""

    file = fields.Raw(metadata={"label": "CSV file", "kind": "file", "help": "With a head line; in UTF-8."})
    column = fields.String(
        metadata={"label": "Column of the addresses", "help": "If it is not named email or alike."},
        validate=validate.Length(max=200),
    )


@blueprint.get("/")
@needs(Role.VIEWER)
def view(list_id: str) -> ResponseReturnValue:
    """A page of all of them, or of those that must not be mailed."""
    return _page(list_id, Form(ImportSchema()))


@blueprint.post("/")
@needs(Role.ADMINISTRATOR)
def take(list_id: str) -> ResponseReturnValue:
    """Import. What is on the list already stays; rows without an address are told, and left out."""
    form = read_form(ImportSchema(), request.form)
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        form.refuse("file", "Choose a file first.")
    wrong = Wrong()
    if form.is_good and sent is not None:
        lines = io.TextIOWrapper(sent.stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        done = Added()
        try:
            rows = read_contacts(lines, form.data.get("column"), "The file")
            for so_far in backing().contacts.add(list_id, wrong.without(rows), person().name):
                done = so_far
        except ConfigurationError as exc:
            form.refuse("_schema", f"{exc}. {done.added:,} were added before that." if done.added else str(exc))
        else:
            flash(
                f"{done.added:,} added, {done.already:,} on the list already, {wrong.count:,} rows without an address.",
                "success",
            )
            if not wrong.count:
                return redirect(url_for("contacts.view", list_id=list_id))
    return _page(list_id, form, wrong), 422 if not form.is_good else 200


@blueprint.get("/export.csv")
@needs(Role.VIEWER)
def export(list_id: str) -> ResponseReturnValue:
    """All of them, or those that must not be mailed, as CSV; as long as it takes, a page at a time."""
    backing().contacts.count(list_id)
    only_bounced = _only_bounced()
    name = f"{list_id}-bounced.csv" if only_bounced else f"{list_id}.csv"
    return Response(
        stream_with_context(_lines(list_id, only_bounced=only_bounced)),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(list_id: str, *, only_bounced: bool) -> Iterator[str]:
    text = io.StringIO()
    write_head(text)
    for page in backing().contacts.all(list_id, only_bounced=only_bounced):
        write_contacts(text, page)
        yield text.getvalue()
        text.seek(0)
        text.truncate()


@dataclass(slots=True)
class Wrong:
    """Rows without an address: how many, and the first of them."""

    count: int = 0
    first: list[Unreadable] = field(default_factory=list)

    def without(self, rows: Iterable[str | Unreadable]) -> Iterator[str]:
        """The addresses; what is none is kept here."""
        for row in rows:
            if isinstance(row, str):
                yield row
                continue
            self.count += 1
            if len(self.first) < _TOLD:
                self.first.append(row)


def _only_bounced() -> bool:
    return request.args.get("only") == "bounced"


def _page(list_id: str, form: Form, wrong: Wrong | None = None) -> str:
    one = backing().lists.find_list(list_id)
    contacts = backing().contacts
    (after,) = after_of(request.args, 1) or ("",)
    if _only_bounced():
        found = contacts.bounced(list_id, after, _ROWS)
        page = Page(found.contacts, {"after0": found.after} if found.after is not None else None)
    else:
        page = Page.of(contacts.page(list_id, after, _ROWS + 1), _ROWS, lambda row: (row.recipient,))
    return render_template(
        "lists/contacts.html",
        list=one,
        count=contacts.count(list_id),
        page=page,
        only_bounced=_only_bounced(),
        is_first=not after,
        form=form,
        wrong=wrong or Wrong(),
    )
