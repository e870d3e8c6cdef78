"""What the ledger's handlers need from the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from services.ledger.policy import Standing, State
from shared.contract import VerdictMessage

SUPPRESSED: Final = "suppressed"
RELEASED: Final = "released"


class Change(NamedTuple):
    """An address whose standing changed; the greater version is the later one."""

    recipient: str
    version: int
    standing: Standing
    event: str | None = None
    """`suppressed` or `released` when that is news to senders."""


def event_of(standing: Standing) -> str:
    """The word that senders are given when an address has come to stand so."""
    return RELEASED if standing.state == State.OK else SUPPRESSED


@dataclass(frozen=True, slots=True)
class ArchivedMail:
    """A mail to keep."""

    raw_id: str
    raw: bytes
    truncated: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be handled, as it arrived at the dead letters."""

    letter_id: str
    queue: str
    reason: str
    failed_at: datetime
    raw_id: str | None
    run_id: str | None
    content_type: str
    type: str
    message_id: str | None
    headers: str
    sent_at: datetime | None
    body: bytes


class VerdictStore(Protocol):
    """Where verdicts are recorded and folded."""

    def record(self, verdicts: Sequence[VerdictMessage]) -> list[Change]:
        """What changed, after the commit of reports, addresses and outbox. Raises DatabaseUnreachable."""

    def current_changes(self, changes: Sequence[Change]) -> tuple[int, list[Change]]:
        """The epoch, and the addresses as they are now, read in that order after the commit."""

    def clear_outbox(self, changes: Sequence[Change]) -> None:
        """What Redis holds and senders were told needs no further care."""


class Projection(Protocol):
    """What senders read."""

    def write(self, epoch: int, changes: Sequence[Change]) -> bool:
        """False when the projection is of another epoch and nothing was written. Raises ProjectionUnreachable."""

    def high(self) -> int:
        """The greatest version ever written. Raises ProjectionUnreachable."""

    def distrust(self) -> None:
        """It is not the database's equal, and has to be filled anew. Raises ProjectionUnreachable."""
