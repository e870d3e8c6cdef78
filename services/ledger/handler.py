"""What the ledger does with a batch: record it, then tell; keep the mails; set the dead letters aside."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from services.ledger.policy import State
from services.ledger.ports import ArchivedMail, Change, DeadLetter, Projection, VerdictStore, event_of
from shared.addresses import normalise_address
from shared.bus import FAILED_AT_HEADER, QUEUE_HEADER, REASON_HEADER, Delivery, Message, Publisher, Rejection
from shared.contract import RFC822, AddressEvent, VerdictMessage
from shared.errors import InvalidAddress, Permanent, Transient
from shared.identity import cut, raw_id
from shared.meters import CHANGES, STAGES
from shared.topology import QUEUES
from shared.wire import address_event_message, read_raw_bounce, read_verdict

BROKER_DEATH_HEADER = "x-mailroom-death"

_QUEUE_NAMES: Final = frozenset(queue.name for queue in QUEUES)

log = structlog.get_logger(__name__)


class VerdictHandler:
    """Records a batch of verdicts, then projects what changed and publishes the events.

    Several threads may call it: while one batch is being recorded, others are read or told. Batches of one process are
    recorded one after the other, for they mostly meet at some address and would wait for each other's locks.
    """

    def __init__(self, store: VerdictStore, projection: Projection | None, publisher: Publisher) -> None:
        self._store = store
        self._projection = projection
        self._publisher = publisher
        self._recording = threading.Lock()

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        """Raises Transient while the database is away. Redis and the events can be behind: the outbox remembers."""
        verdicts: list[VerdictMessage] = []
        rejections: list[Rejection] = []
        for delivery in deliveries:
            try:
                verdicts.append(_with_normal_addresses(read_verdict(delivery.message)))
            except (Permanent, InvalidAddress) as exc:
                rejections.append(Rejection(delivery, str(exc)))
        with self._recording, STAGES.labels("record").time():
            high = self._projected_high()
            changes = self._store.record(verdicts)
        if changes and min(change.version for change in changes) <= high:
            self._distrust(high)
        elif changes and self.tell(changes):
            self.forget(changes)
        for state, addresses in Counter(change.standing.state.value for change in changes).items():
            CHANGES.labels(state).inc(addresses)
        log.info("verdicts_recorded", messages=len(verdicts), changed=len(changes), rejected=len(rejections))
        return rejections

    def tell(self, changes: Sequence[Change]) -> bool:
        """Bring committed changes to Redis and to whoever listens; when False, they have to be told again."""
        try:
            epoch, current = self._store.current_changes(changes)
            with STAGES.labels("project").time():
                is_written = self._projection is None or self._projection.write(epoch, current)
            if not is_written:
                log.warning("projection_refused", epoch=epoch, changes=len(changes))
                return False
            # A change that a later one undid has nothing to say: the later one's own row says it.
            news = {(change.recipient, change.event) for change in changes}
            events = [_event_message(epoch, one) for one in current if (one.recipient, event_of(one.standing)) in news]
            if events:
                self._publisher.publish(events)
        except Transient as exc:
            log.warning("changes_left_in_outbox", changes=len(changes), cause=str(exc))
            return False
        return True

    def _projected_high(self) -> int:
        """The greatest version in the projection before a batch; what the batch draws is greater."""
        if self._projection is None:
            return 0
        try:
            return self._projection.high()
        except Transient:
            return 0

    def _distrust(self, high: int) -> None:
        """Versions were drawn a second time: the database was restored from an older state, and Redis holds its future.

        Soon new versions would pass the greatest one in Redis, and hide it.
        """
        log.error("database_was_restored", projected=high)
        if self._projection is not None:
            try:
                self._projection.distrust()
            except Transient as exc:
                log.warning("projection_not_distrusted", cause=str(exc))

    def forget(self, changes: Sequence[Change]) -> None:
        """Take what was told out of the outbox. Raises DatabaseUnreachable."""
        self._store.clear_outbox(changes)


def _with_normal_addresses(verdict: VerdictMessage) -> VerdictMessage:
    """Whoever wrote it: senders ask for the one normal form. Raises InvalidAddress."""
    for outcome in verdict["outcomes"]:
        if outcome["recipient"]:
            outcome["recipient"] = normalise_address(outcome["recipient"])
    return verdict


def _event_message(epoch: int, change: Change) -> Message:
    standing = change.standing
    event: AddressEvent = {
        "schema_version": 1,
        "recipient": change.recipient,
        "state": standing.state.value,
        "reason": standing.reason,
        "since": standing.since,
        "epoch": epoch,
        "version": change.version,
    }
    return address_event_message(event, is_suppressed=standing.state != State.OK)


class ArchiveStore(Protocol):
    """Where mails are kept."""

    def keep(self, mails: Sequence[ArchivedMail]) -> None:
        """A mail that is there already stays. Raises DatabaseUnreachable."""


class ArchiveHandler:
    """Keeps every raw mail. What cannot be read is not its business: the classifier sets it aside."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        """Raises Transient while the database is away."""
        mails: dict[str, ArchivedMail] = {}
        for delivery in deliveries:
            try:
                bounce = read_raw_bounce(delivery.message)
            except Permanent:
                continue
            raw, is_cut = cut(bounce["raw"])
            mail = ArchivedMail(raw_id(raw), raw, is_cut or bounce["truncated"])
            mails[mail.raw_id] = mail
        with STAGES.labels("archive").time():
            self._store.keep(list(mails.values()))
        return []


class DeadLetterStore(Protocol):
    """Where dead letters wait for a person."""

    def file(self, letters: Sequence[DeadLetter]) -> None:
        """A letter that is there already is dead again, with one more attempt. Raises DatabaseUnreachable."""


class DeadLetterHandler:
    """The drainer: from the queue of dead letters, which nobody may peek into, to a table."""

    def __init__(self, store: DeadLetterStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        """Raises Transient while the database is away; never rejects."""
        now = self._now()
        self._store.file([read_dead_letter(delivery.message, now) for delivery in deliveries])
        return []


def read_dead_letter(message: Message, now: datetime) -> DeadLetter:
    """Whatever it is: our own letters say why they died, the broker's say at least which limit they met."""
    headers = dict(message.headers)
    # The routing key is the broker's word; the header may be a publisher's.
    named = headers.pop(QUEUE_HEADER, None)
    queue = message.routing_key if message.routing_key in _QUEUE_NAMES or not named else str(named)
    broker_reason = headers.pop(BROKER_DEATH_HEADER, None)
    reason = str(headers.pop(REASON_HEADER, None) or f"the broker gave up on it: {broker_reason or 'no reason given'}")
    failed_at = headers.pop(FAILED_AT_HEADER, None)
    run_id = headers.get("run_id")
    return DeadLetter(
        letter_id=_letter_id(queue, message),
        queue=_storable(queue, 64),
        reason=_storable(reason, 2000),
        failed_at=min(_instant(failed_at) or now, now),
        raw_id=_raw_id_of(message),
        run_id=_storable(str(run_id), 64) if run_id else None,
        content_type=_storable(message.content_type, 255),
        type=_storable(message.type, 255),
        message_id=_storable(message.message_id, 255) if message.message_id else None,
        headers=json.dumps(headers),
        sent_at=message.timestamp,
        body=message.body,
    )


def _storable(text: str, limit: int) -> str:
    """Whatever it was, a database takes it: a letter that cannot be filed would come back for ever."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")[:limit]


def _instant(value: object) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
        return parsed.astimezone(UTC) if parsed is not None and parsed.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _letter_id(queue: str, message: Message) -> str:
    digest = hashlib.sha256()
    # The run too: what a held run brought and what came without one are two letters, for they count differently.
    for part in (queue, message.content_type, message.type, str(message.headers.get("run_id") or "")):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(message.body)
    return digest.hexdigest()


def _raw_id_of(message: Message) -> str | None:
    """The mail that a letter is about: in it, or named by a verdict."""
    if message.content_type.split(";")[0].strip().lower() == RFC822:
        return raw_id(cut(message.body)[0]) if message.body else None
    try:
        return raw_id(cut(read_raw_bounce(message)["raw"])[0])
    except Permanent:
        pass
    try:
        return read_verdict(message)["raw_id"]
    except Permanent:
        return None
