"""The dead letters: filed, listed, and published again to the queue that they came from."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, and_, func, or_, select, update

from services.ledger.marks_sql import WHO_LENGTH, WHY_LENGTH, storable
from services.ledger.ports import DeadLetter
from shared.bus import Message, Publisher
from shared.errors import ConfigurationError
from shared.tables.ledger import audit, dead_letter
from shared.tables.transactions import insert, now_of, transaction
from shared.topology import DEFAULT_EXCHANGE, queues_for

_PAGE: Final = 200

DEAD: Final = "dead"
REPLAYED: Final = "replayed"
DISCARDED: Final = "discarded"
STATES: Final = (DEAD, REPLAYED, DISCARDED)
STAGES: Final = ("fetcher", "classifier", "ledger")
"""The services on whose queues a message may die."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant; what is None does not narrow it."""

    stage: str | None = None
    """One of STAGES."""
    letter_id: str | None = None
    """The id or its beginning."""
    reason: str | None = None
    """A part of the reason."""
    state: str = DEAD


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A dead letter with its history."""

    letter: DeadLetter
    attempts: int
    first_failed_at: datetime


class SqlDeadLetters:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def file(self, letters: Sequence[DeadLetter]) -> None:
        """A letter that is known is dead again, with one more attempt for each copy."""
        copies = Counter(letter.letter_id for letter in letters)
        newest = {letter.letter_id: letter for letter in sorted(letters, key=lambda letter: letter.failed_at)}
        with transaction(self._engine) as connection:
            for letter_id in sorted(newest):
                row = _row(newest[letter_id], copies[letter_id])
                filed = insert(connection, dead_letter).values(row)
                again = {
                    "state": DEAD,
                    "reason": filed.excluded.reason,
                    "attempts": dead_letter.c.attempts + filed.excluded.attempts,
                    "last_failed_at": filed.excluded.last_failed_at,
                    "settled_at": None,
                }
                connection.execute(filed.on_conflict_do_update(index_elements=["letter_id"], set_=again))

    def count(self, choice: Choice, most: int | None = None) -> int:
        """How many there are; with `most` it counts no further than that."""
        some = select(dead_letter.c.letter_id).where(*_conditions(choice)).limit(most).subquery()
        with transaction(self._engine, is_reading=True) as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def list(self, choice: Choice) -> Iterator[FiledLetter]:
        """Those of a choice, in the order of their ids, read page by page; replaying meanwhile is allowed."""
        after = ""
        while True:
            chosen = select(dead_letter).where(*_conditions(choice), dead_letter.c.letter_id > after)
            with transaction(self._engine, is_reading=True) as connection:
                rows = connection.execute(chosen.order_by(dead_letter.c.letter_id).limit(_PAGE)).all()
            yield from (_filed(row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].letter_id

    def page(self, choice: Choice, after: tuple[datetime, str] | None, size: int) -> Sequence[FiledLetter]:
        """So many of a choice, the latest failure first, after that (last_failed_at, letter_id)."""
        chosen = select(dead_letter).where(*_conditions(choice))
        if after is not None:
            at, letter_id = after
            same = and_(dead_letter.c.last_failed_at == at, dead_letter.c.letter_id < letter_id)
            chosen = chosen.where(dead_letter.c.last_failed_at <= at, or_(dead_letter.c.last_failed_at < at, same))
        ordered = chosen.order_by(dead_letter.c.last_failed_at.desc(), dead_letter.c.letter_id.desc()).limit(size)
        with transaction(self._engine, is_reading=True) as connection:
            return [_filed(row) for row in connection.execute(ordered)]

    def find(self, letter_id: str) -> tuple[FiledLetter, str] | None:
        """A letter and its state: dead, replayed or discarded."""
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(select(dead_letter).where(dead_letter.c.letter_id == letter_id)).one_or_none()
        return (_filed(row), str(row.state)) if row else None

    def replay_these(self, letters: Sequence[FiledLetter], publisher: Publisher, who: str) -> int:
        """As `replay`, but these."""
        return self._replay(letters, publisher, who)

    def discard(self, letter_ids: Sequence[str], who: str, why: str) -> int:
        """Those of them that are dead are put aside for good, with a word of who and why; how many. They stay in the table.

        Raises ConfigurationError without a reason.
        """
        if not why.strip():
            raise ConfigurationError("say why: whoever misses these mails will want to know")
        discarded = 0
        with transaction(self._engine) as connection:
            now = now_of(connection)
            said = {"made_at": now, "who": storable(who, WHO_LENGTH), "why": storable(why, WHY_LENGTH)}
            for letter_id in sorted(letter_ids):
                is_dead = and_(dead_letter.c.letter_id == letter_id, dead_letter.c.state == DEAD)
                done = connection.execute(update(dead_letter).where(is_dead).values(state=DISCARDED, settled_at=now))
                if done.rowcount:
                    discarded += 1
                    connection.execute(audit.insert().values(**said, what="discard letter", subject=letter_id))
        return discarded

    def replay(
        self, choice: Choice, publisher: Publisher, who: str, progress: Callable[[int], None] = lambda done: None
    ) -> int:
        """Publish those that are dead to their own queues, then mark them; how many. One of an unknown queue stays dead.

        Interrupted, it leaves letters that are dead still or were published twice: both are harmless. What dies again
        is dead again with one more attempt, and is not taken up a second time by this call.
        """
        replayed = 0
        page: list[FiledLetter] = []
        for filed in self.list(choice):
            page.append(filed)
            if len(page) == _PAGE:
                replayed += self._replay(page, publisher, who)
                progress(replayed)
                page = []
        replayed += self._replay(page, publisher, who)
        progress(replayed)
        return replayed

    def _replay(self, letters: Sequence[FiledLetter], publisher: Publisher, who: str) -> int:
        # One that names no queue of ours would hold up all the others; it stays for a person to look at.
        page = [filed for filed in letters if queues_for(DEFAULT_EXCHANGE, filed.letter.queue)]
        publisher.publish([_message(filed.letter) for filed in page])
        with transaction(self._engine) as connection:
            now = now_of(connection)
            for filed in page:
                # With as many attempts as when it was read: one that died again meanwhile stays dead.
                same = and_(dead_letter.c.letter_id == filed.letter.letter_id, dead_letter.c.attempts == filed.attempts)
                connection.execute(update(dead_letter).where(same).values(state=REPLAYED, settled_at=now))
            said = {"made_at": now, "who": storable(who, WHO_LENGTH), "what": "replay letter", "why": ""}
            if page:
                connection.execute(audit.insert(), [said | {"subject": one.letter.letter_id} for one in page])
        return len(page)


def _conditions(choice: Choice) -> list[Any]:
    conditions: list[Any] = [dead_letter.c.state == choice.state]
    if choice.stage is not None:
        conditions.append(
            or_(
                dead_letter.c.queue.startswith(f"{choice.stage}.", autoescape=True), dead_letter.c.queue == choice.stage
            )
        )
    if choice.letter_id is not None:
        conditions.append(dead_letter.c.letter_id.startswith(choice.letter_id, autoescape=True))
    if choice.reason is not None:
        conditions.append(dead_letter.c.reason.contains(choice.reason, autoescape=True))
    return conditions


def _row(letter: DeadLetter, attempts: int) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "state": DEAD,
        "attempts": attempts,
        "first_failed_at": letter.failed_at,
        "last_failed_at": letter.failed_at,
        "raw_id": letter.raw_id,
        "run_id": letter.run_id,
        "content_type": letter.content_type,
        "type": letter.type,
        "message_id": letter.message_id,
        "headers": letter.headers,
        "sent_at": letter.sent_at,
        "body": letter.body,
    }


def _filed(row: Any) -> FiledLetter:
    letter = DeadLetter(
        row.letter_id,
        row.queue,
        row.reason,
        row.last_failed_at,
        row.raw_id,
        row.run_id,
        row.content_type,
        row.type,
        row.message_id,
        row.headers,
        row.sent_at,
        row.body,
    )
    return FiledLetter(letter, row.attempts, row.first_failed_at)


def _message(letter: DeadLetter) -> Message:
    """As it came, without the broker's counters and without our own reasons, straight to its queue."""
    return Message(
        DEFAULT_EXCHANGE,
        letter.queue,
        letter.body,
        letter.content_type,
        letter.type,
        json.loads(letter.headers),
        letter.message_id,
        letter.sent_at,
    )
