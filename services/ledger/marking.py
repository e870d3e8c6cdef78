"""The human side of the record: suppressing and releasing addresses by hand, and telling senders.

A word of a person is recorded first; what Redis or the broker could not be told then stays in the outbox.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import structlog

from services.ledger.handler import VerdictHandler
from services.ledger.policy import SUPPRESSED_BY_HAND, Standing, State
from services.ledger.ports import RELEASED, SUPPRESSED, Change, Projection, VerdictStore
from shared.addresses import normalise_address
from shared.bus import Message, Publisher
from shared.errors import ConfigurationError, Transient

TRANSACTION_ADDRESSES: Final = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Marked:
    """What a word of a person came to for one address."""

    recipient: str
    before: Standing
    after: Standing
    change: Change | None = None
    """What has to be told; None when the address stands as before."""
    is_left: bool = False
    """It stood as wished already, and nothing was written."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An address that a list of suppressions names."""

    recipient: str
    why: str
    is_bounced: bool = False
    """It had bounced where the list comes from: where it has bounced here, too, nothing is to be done."""

    def is_met_by(self, standing: Standing) -> bool:
        """Whether the address is suppressed by hand, or bounced as in the list."""
        by_hand = standing.state == State.SUPPRESSED and standing.reason == SUPPRESSED_BY_HAND
        return by_hand or (self.is_bounced and standing.state == State.BOUNCED)


@dataclass(frozen=True, slots=True)
class Done:
    """What was recorded, and whether everybody who is configured to hear of it has."""

    marked: list[Marked]
    is_told: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a list of suppressions."""

    suppressed: int = 0
    already: int = 0
    is_told: bool = True


class MarkStore(Protocol):
    """Where the words of people are recorded. Addresses are normalised. Raises DatabaseUnreachable."""

    def mark(self, state: str, whys: Mapping[str, str], who: str) -> list[Marked]:
        """`suppressed` or `released`, in one transaction with the audit; in the order given, after the commit."""

    def take_over(self, wishes: Sequence[Wish], who: str) -> list[Marked]:
        """Suppress those that are not yet; in the order given, after the commit."""


class _NoBroker:
    """Where no broker is configured there is no news to publish: the events stay in the outbox."""

    def publish(self, messages: Iterable[Message]) -> None:
        raise Transient("no broker is configured")


class Marking:
    """What the command line and a console call."""

    def __init__(
        self, marks: MarkStore, verdicts: VerdictStore, projection: Projection | None, publisher: Publisher | None
    ) -> None:
        self._marks = marks
        self._verdicts = verdicts
        self._projection = projection
        self._publisher = publisher

    def suppress(self, addresses: Sequence[str], why: str, who: str) -> Done:
        """Nothing is mailed to them until they are released. Raises InvalidAddress and DatabaseUnreachable."""
        return self._mark(SUPPRESSED, addresses, why, who)

    def release(self, addresses: Sequence[str], why: str, who: str) -> Done:
        """What was reported until now never counts again; what is reported later does.

        Raises InvalidAddress and DatabaseUnreachable.
        """
        return self._mark(RELEASED, addresses, why, who)

    def take_over(
        self, wishes: Iterable[Wish], who: str, progress: Callable[[Tally], None] = lambda tally: None
    ) -> Tally:
        """Suppress whatever the list names, a thousand a transaction; the second time it changes nothing.

        `progress` is told after every transaction what is recorded so far. Raises DatabaseUnreachable; what was
        recorded before, stays.
        """
        suppressed = already = 0
        is_told = True
        stream = iter(wishes)
        while batch := list(islice(stream, TRANSACTION_ADDRESSES)):
            marked = self._marks.take_over(batch, who)
            # Who did not hear of one batch would keep all the others waiting, too: a ledger tells them later.
            is_told = is_told and self._tell(marked)
            left = sum(one.is_left for one in marked)
            already += left
            suppressed += len(marked) - left
            progress(Tally(suppressed, already, is_told))
        return Tally(suppressed, already, is_told)

    def _mark(self, state: str, addresses: Sequence[str], why: str, who: str) -> Done:
        if not why.strip():
            raise ConfigurationError("say why: whoever reads the history of the address will want to know")
        recipients = list(dict.fromkeys(normalise_address(text) for text in addresses))
        marked: list[Marked] = []
        is_told = True
        for start in range(0, len(recipients), TRANSACTION_ADDRESSES):
            part = self._marks.mark(state, dict.fromkeys(recipients[start : start + TRANSACTION_ADDRESSES], why), who)
            is_told = is_told and self._tell(part)
            marked += part
        return Done(marked, is_told)

    def _tell(self, marked: Sequence[Marked]) -> bool:
        return self.tell([one.change for one in marked if one.change is not None])

    def tell(self, changes: Sequence[Change]) -> bool:
        """Bring committed changes to Redis and to whoever listens; False when a ledger has to make up for it."""
        if not changes:
            return True
        handler = VerdictHandler(self._verdicts, self._projection, self._publisher or _NoBroker())
        if self._publisher is None:
            told: Sequence[Change] = [Change(one.recipient, one.version, one.standing) for one in changes]
            done: Sequence[Change] = [one for one in changes if one.event is None]
        else:
            told = done = changes
        try:
            if not handler.tell(told):
                return False
            handler.forget(done)
        except Transient as exc:  # it is recorded, and must not look as if it were not
            log.warning("changes_left_in_outbox", changes=len(changes), cause=str(exc))
            return False
        return True
