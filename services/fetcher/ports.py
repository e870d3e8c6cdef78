"""What fetching and cleaning need of a mailbox and of a checkpoint; the adapters stand beside this file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.fetcher.accounts import Account
from services.fetcher.emptying import Judged
from services.fetcher.errors import MailUnreadable


@dataclass(frozen=True, slots=True)
class Listed:
    """A mail as the mailbox lists it, before a byte of it is read."""

    uid: str
    size_bytes: int
    """What the server says; it may lie."""
    is_lasting: bool = True
    """False: the uid means this mail in this login only (POP3 without a usable UIDL)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The first 512 KiB of a mail."""

    raw: bytes
    received_at: datetime | None
    """None on POP3, which does not say; then it is the time of fetching."""
    truncated: bool


def nameless_uid(raw_id: str) -> str:
    """Under what a mail without a lasting uid stands in the checkpoint: a UIDL is never that long."""
    return f"={raw_id}"


class Mailbox(Protocol):
    """One login. Leaving the `with` block without `logout` drops the connection, and on POP3 with it every deletion.

    Every method raises MailboxError when the login can go no further.
    """

    folder: str
    uidvalidity: int
    """0 where the protocol has none."""
    keeps_uids: bool
    """Whether a uid that is no longer listed is never given to another mail."""
    reads_together: bool
    """Whether several mails are read in one round trip; else `read` gains nothing from more than one."""

    def __enter__(self) -> "Mailbox": ...

    def __exit__(self, *_exc: object) -> None: ...

    def count(self) -> int:
        """How many mails there are, without listing them."""

    def listing(self) -> Iterable[Listed]:
        """Every mail, in the server's order."""

    def read(self, mails: Sequence[Listed]) -> dict[str, Fetched | MailUnreadable]:
        """By uid; a mail that is gone is missing. All of them were read to their end, or ConnectionLost is raised.

        What is asked for together is for `Windows` to say. MailUnreadable is what the server says of a mail asked for alone.
        """

    def delete(self, uids: Sequence[str]) -> list[str]:
        """The uids that are on their way out; it is certain when `logout` returns."""

    def move(self, uids: Sequence[str], folder: str) -> list[str]:
        """The uids that are in that folder now."""

    def logout(self) -> None:
        """End the login properly: what was deleted is gone when this returns."""


class AccountBook(Protocol):
    """The bounce accounts by name, asked at each request: what a person changes needs no restart."""

    def find(self, name: str) -> Account:
        """Raises UnknownAccount; AccountUnusable, which is this account's trouble alone; Transient."""


OpenMailbox = Callable[[bool], AbstractContextManager[Mailbox]]
"""Connects and logs in; True = to clean. Without it the folder is opened so that the server itself refuses changes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Within a place a uid names one mail."""

    account: str
    folder: str
    uidvalidity: int


@dataclass(frozen=True, slots=True)
class FoundMail:
    """A mail that was read and whose publishing was confirmed."""

    uid: str
    raw_id: str
    size_bytes: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class RecordedMail:
    """A mail that was fetched, and what the ledger has of it."""

    uidvalidity: int
    uid: str
    judged: Judged


class Checkpoint(Protocol):
    """What is known of the mailboxes, and what the ledger says about it. Raises Transient when the database is away."""

    def begin_run(self, run_id: str, account: str, now: datetime) -> None:
        """Begin a run, or go on with one; its last error is forgotten."""

    def is_dropped(self, run_id: str) -> bool:
        """Whether a person dropped it."""

    def is_dropped_one_at_work(self, account: str) -> bool:
        """Whether a run of that account was dropped and has not ended yet."""

    def forget_dropped(self, account: str) -> None:
        """Drop the rows of runs that were dropped: their mails are to be found again, as if for the first time."""

    def note_error(self, run_id: str, error: str) -> None:
        """Remember for people why a pass ended early."""

    def mark_fetched(self, run_id: str, now: datetime) -> None:
        """Its last slice was fetched."""

    def mark_finished(self, run_id: str, now: datetime) -> None:
        """Its last cleaning ended."""

    def forget_other_uidvalidities(self, place: Place) -> int:
        """How many rows of earlier UIDVALIDITY values there were; they name nothing any more (RFC 3501 §2.3.1.1)."""

    def forget_unlisted(self, place: Place, listed: set[str], run_id: str) -> None:
        """Drop the rows whose mail is no longer listed: their uid may come to name another mail.

        Rows of that run under a `nameless_uid` stay.
        """

    def unknown(self, place: Place, mails: Sequence[Listed]) -> list[Listed]:
        """Those that were neither fetched nor given up, in the same order."""

    def published_by(self, run_id: str, raw_ids: Sequence[str]) -> set[str]:
        """Those that this run has published already."""

    def add(self, place: Place, run_id: str, mails: Sequence[FoundMail], now: datetime) -> None:
        """Remember mails whose publishing was confirmed. Adding one again changes nothing."""

    def count_failure(self, place: Place, run_id: str, mail: Listed, error: str, now: datetime) -> int:
        """In how many runs this mail could not be read by now."""

    def recorded(self, account: str, folder: str) -> list[RecordedMail]:
        """The mails fetched from there that are recorded, archived, not cleaned yet, and of no run that is kept out."""

    def judged(self, raw_ids: Sequence[str]) -> Mapping[str, Judged]:
        """The judgements of those that are recorded and archived, and were not delivered by held runs alone."""

    def mark_cleaned(self, place: Place, uids: Sequence[str], now: datetime) -> None:
        """They were deleted or moved."""

    def waiting(self, run_id: str) -> int:
        """How many mails of the run are neither recorded and archived nor dead-lettered."""

    def take_lease(self, account: str, holder: str, now: datetime, until: datetime) -> datetime | None:
        """None when the lease is the holder's now (also when it was already); else until when another has it."""

    def release_lease(self, account: str, holder: str) -> None:
        """Give it back, if it is the holder's."""
