"""The dead letters: filed, listed, and published again to the queue that they came from."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, and_, func, or_, select, update

from services.ledger.marks_sql import WHO_LENGTH, WHY_LENGTH, storable
from services.ledger.ports import DeadLetter
from shared.bus import Message, Publisher
from shared.errors import ConfigurationError
from shared.tables.ledger import audit, dead_letter
from shared.tables.transactions import insert, now_of, transaction
from shared.topology import DEFAULT_EXCHANGE, QUEUES, queues_for

_LISTED_AT_ONCE: Final = 2_000
_PAGE: Final = 200
_PART_BYTES: Final = 16 * 1024 * 1024
"""So much of bodies is held at once."""

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
    failed_before: datetime | None = None
    failed_after: datetime | None = None
    """The last failure."""
    is_known_queue: bool = False
    """Only those that can go back to where they came from."""


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A dead letter with its history."""

    letter: DeadLetter
    attempts: int
    first_failed_at: datetime
    size_bytes: int
    """Of the body, which lists leave out."""


_SIZE: Final = func.length(dead_letter.c.body).label("size_bytes")
_WHOLE: Final = select(dead_letter, _SIZE)
_LISTED: Final = select(*(column for column in dead_letter.c if column is not dead_letter.c.body), _SIZE)
"""A body may have a MiB, and a list hundreds of rows."""


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
        """Those of a choice, without their bodies, in the order of their ids, page by page; replaying meanwhile is allowed."""
        after = ""
        while True:
            chosen = _LISTED.where(*_conditions(choice), dead_letter.c.letter_id > after)
            with transaction(self._engine, is_reading=True) as connection:
                rows = connection.execute(chosen.order_by(dead_letter.c.letter_id).limit(_LISTED_AT_ONCE)).all()
            yield from (_filed(row) for row in rows)
            if len(rows) < _LISTED_AT_ONCE:
                return
            after = rows[-1].letter_id

    def page(self, choice: Choice, after: tuple[datetime, str] | None, size: int) -> Sequence[FiledLetter]:
        """So many of a choice, without their bodies, the latest failure first, after that (last_failed_at, letter_id)."""
        chosen = _LISTED.where(*_conditions(choice))
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
            row = connection.execute(_WHOLE.where(dead_letter.c.letter_id == letter_id)).one_or_none()
        return (_filed(row), str(row.state)) if row else None

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
        for part in _in_parts(self.list(replace(choice, is_known_queue=True))):
            replayed += self._replay(part, publisher, who)
            progress(replayed)
        return replayed

    def replay_these(self, letters: Iterable[FiledLetter], publisher: Publisher, who: str) -> int:
        """As `replay`, but these, with or without their bodies."""
        known = (filed for filed in letters if queues_for(DEFAULT_EXCHANGE, filed.letter.queue))
        return sum(self._replay(part, publisher, who) for part in _in_parts(known))

    def _replay(self, letter_ids: Sequence[str], publisher: Publisher, who: str) -> int:
        chosen = _WHOLE.where(dead_letter.c.letter_id.in_(letter_ids), dead_letter.c.state == DEAD)
        with transaction(self._engine, is_reading=True) as connection:
            part = [_filed(row) for row in connection.execute(chosen.order_by(dead_letter.c.letter_id))]
        publisher.publish([_message(filed.letter) for filed in part])
        with transaction(self._engine) as connection:
            now = now_of(connection)
            for filed in part:
                # With as many attempts as when it was read: one that died again meanwhile stays dead.
                same = and_(dead_letter.c.letter_id == filed.letter.letter_id, dead_letter.c.attempts == filed.attempts)
                connection.execute(update(dead_letter).where(same).values(state=REPLAYED, settled_at=now))
            said = {"made_at": now, "who": storable(who, WHO_LENGTH), "what": "replay letter", "why": ""}
            if part:
                connection.execute(audit.insert(), [said | {"subject": one.letter.letter_id} for one in part])
        return len(part)


def _in_parts(letters: Iterable[FiledLetter]) -> Iterator[list[str]]:
    """The ids of so many as may be held at once."""
    part: list[str] = []
    size_bytes = 0
    for filed in letters:
        if part and (len(part) == _PAGE or size_bytes + filed.size_bytes > _PART_BYTES):
            yield part
            part, size_bytes = [], 0
        part.append(filed.letter.letter_id)
        size_bytes += filed.size_bytes
    if part:
        yield part


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
    if choice.failed_before is not None:
        conditions.append(dead_letter.c.last_failed_at < choice.failed_before)
    if choice.failed_after is not None:
        conditions.append(dead_letter.c.last_failed_at >= choice.failed_after)
    if choice.is_known_queue:
        conditions.append(dead_letter.c.queue.in_([queue.name for queue in QUEUES]))
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
        row._mapping.get("body", b""),
    )
    return FiledLetter(letter, row.attempts, row.first_failed_at, row.size_bytes)


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
