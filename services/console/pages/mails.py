"""One mail: what was recorded of it, and the mail itself as text."""

from codecs import getincrementaldecoder
from typing import Final

from flask import Blueprint, Response, abort, render_template
from flask.typing import ResponseReturnValue

from services.console.backing import backing
from services.console.roles import Role, needs

blueprint = Blueprint("mails", __name__, url_prefix="/mails")

SHOWN_BYTES: Final = 64 * 1024


@blueprint.get("/<raw_id>")
@needs(Role.VIEWER)
def show(raw_id: str) -> ResponseReturnValue:
    """What is known of it; the bytes as long as the archive has them."""
    found = backing().looking.mail(raw_id)
    body = backing().archive.read(raw_id)
    if found is None and body is None:
        abort(404)
    shown = None if body is None else as_text(body[:SHOWN_BYTES])
    return render_template("mail.html", raw_id=raw_id, found=found, shown=shown, is_cut=len(body or b"") > SHOWN_BYTES)


@blueprint.get("/<raw_id>/raw")
@needs(Role.OPERATOR)
def raw(raw_id: str) -> ResponseReturnValue:
    """The bytes, to be kept and not to be shown by a browser."""
    body = backing().archive.read(raw_id)
    if body is None:
        abort(404)
    name = f"attachment; filename={raw_id[:12]}.eml"
    return Response(body, mimetype="message/rfc822", headers={"Content-Disposition": name})


def as_text(body: bytes) -> str:
    """As UTF-8, also when it was cut within a character, else Latin-1; what is no printable character, written out."""
    try:
        text = getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    text = text.replace("\r\n", "\n")
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)
