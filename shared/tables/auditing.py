"""Who changed what by hand: told within the transaction of what it tells of."""

from sqlalchemy import Connection, insert

from shared.tables.ledger import audit
from shared.tables.transactions import now_of


def note(connection: Connection, who: str, what: str, subject: str, why: str) -> None:
    """A row of the audit. `subject` is what people look for: an address, a run, a list, a user."""
    values = {"made_at": now_of(connection), "who": who[:255], "what": what, "subject": subject[:320], "why": why}
    connection.execute(insert(audit).values(values))
