"""Words of people in the database: the mark, the audit, the address folded anew and the outbox in one transaction.

One order of locks, as everywhere: addresses, then the policy.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, func, insert, select

from services.ledger.marking import Marked, Wish
from services.ledger.ports import RELEASED, SUPPRESSED, Change
from services.ledger.standings_sql import lock_addresses, read_policy, recompute
from shared.tables.ledger import audit, mark
from shared.tables.transactions import now_of, transaction

SUPPRESS: Final = "suppress"
RELEASE: Final = "release"
IMPORT: Final = "import"
"""What the audit calls it."""

WHY_LENGTH: Final = 2000
WHO_LENGTH: Final = 255
_TICK: Final = timedelta(microseconds=1)


class SqlMarks:
    """Addresses are normalised. Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def mark(self, state: str, whys: Mapping[str, str], who: str) -> list[Marked]:
        """`suppressed` or `released`, each address with its why; in the order given, after the commit."""
        if not whys:
            return []
        with transaction(self._engine) as connection:
            before = lock_addresses(connection, sorted(whys), now_of(connection))
            after = _write(connection, before, state, whys, who, RELEASE if state == RELEASED else SUPPRESS)
        return [_marked(before[recipient], after.get(recipient)) for recipient in whys]

    def take_over(self, wishes: Sequence[Wish], who: str) -> list[Marked]:
        """Suppress those whose wish is not met yet; in the order given, after the commit.

        Of an address that is named twice the second is met by the first.
        """
        if not wishes:
            return []
        first: dict[str, Wish] = {}
        for wish in wishes:
            first.setdefault(wish.recipient, wish)
        with transaction(self._engine) as connection:
            before = lock_addresses(connection, sorted(first), now_of(connection))
            open_ = {name: wish for name, wish in first.items() if not wish.is_met_by(before[name].standing)}
            whys = {name: wish.why for name, wish in open_.items()}
            after = _write(connection, {name: before[name] for name in open_}, SUPPRESSED, whys, who, IMPORT)
        marked: list[Marked] = []
        for wish in wishes:
            if open_.pop(wish.recipient, None):
                marked.append(_marked(before[wish.recipient], after.get(wish.recipient)))
            else:
                standing = after.get(wish.recipient, before[wish.recipient]).standing
                marked.append(Marked(wish.recipient, standing, standing, is_left=True))
        return marked


def _write(
    connection: Connection, before: Mapping[str, Change], state: str, whys: Mapping[str, str], who: str, what: str
) -> dict[str, Change]:
    """What changed, by address."""
    if not before:
        return {}
    # Under the locks: a report that was recorded before this word was received before it, too.
    now = now_of(connection)
    latest = _latest_times(connection, list(before))
    marks = []
    audits = []
    for recipient in sorted(before):
        # The later word wins, also when the clock was set back or did not move.
        made_at = max(now, latest[recipient] + _TICK) if recipient in latest else now
        said = {"made_at": made_at, "who": storable(who, WHO_LENGTH), "why": storable(whys[recipient], WHY_LENGTH)}
        marks.append({"recipient": recipient, "state": state, **said})
        audits.append({"subject": recipient, "what": what, **said})
    limits = read_policy(connection)
    connection.execute(insert(mark), marks)
    connection.execute(insert(audit), audits)
    return {change.recipient: change for change in recompute(connection, before, limits, now)}


def _latest_times(connection: Connection, recipients: Sequence[str]) -> dict[str, datetime]:
    made = select(mark.c.recipient, func.max(mark.c.made_at)).where(mark.c.recipient.in_(recipients))
    return {row.recipient: row[1] for row in connection.execute(made.group_by(mark.c.recipient))}


def _marked(before: Change, after: Change | None) -> Marked:
    return Marked(before.recipient, before.standing, (after or before).standing, after)


def storable(text: str, limit: int) -> str:
    """As every database takes it: neither NUL nor bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd").strip()[:limit]
