"""Fetching a slice: what the checkpoint does not know is read, published, and remembered once that is confirmed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.fetcher.accounts import Account
from services.fetcher.errors import (
    ConnectionLost,
    Interrupted,
    LoginOver,
    MailboxUnreachable,
    MailEmpty,
    MailUnreadable,
    is_temporary_refusal,
)
from services.fetcher.ports import (
    Checkpoint,
    Fetched,
    FoundMail,
    Listed,
    Mailbox,
    OpenMailbox,
    Place,
    nameless_uid,
)
from services.fetcher.retrying import RETRY_AFTER_S
from services.fetcher.windows import Windows
from shared.bus import Message, Publisher
from shared.identity import raw_id
from shared.wire import raw_bounce_message

_LOOK_UP: Final = 1_000
_ALL_REFUSED: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SliceLimits:
    """A slice ends at whichever comes first; a window is what waits for its confirms together."""

    mails: int = 500_000
    """Each slice lists the mailbox anew, which costs seconds; that other accounts need not wait is what `duration` is for."""
    duration: timedelta = timedelta(minutes=5)
    window_mails: int = 500
    window_bytes: int = 16 * 1024 * 1024
    tries: int = 3
    """A mail that could not be read so often is left in place."""
    fruitless_logins: int = 3
    """Logins in a row that ended in the middle and brought nothing."""


@dataclass(slots=True)
class _Window:
    place: Place
    messages: list[Message] = field(default_factory=list)
    mails: list[FoundMail] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A mail at which a connection broke, or that was refused."""

    place: Place
    mail: Listed
    cause: str


class SliceFetcher:
    """One slice of one run. `tick` is called between mails, to keep a lease and to raise Interrupted; `pause(seconds)` waits."""

    def __init__(
        self,
        account: Account,
        run_id: str,
        open_mailbox: OpenMailbox,
        checkpoint: Checkpoint,
        publisher: Publisher,
        clock: Callable[[], datetime],
        tick: Callable[[], None],
        pause: Callable[[float], None],
        limits: SliceLimits,
    ) -> None:
        self.fetched = 0
        self._account = account
        self._run_id = run_id
        self._open_mailbox = open_mailbox
        self._checkpoint = checkpoint
        self._publisher = publisher
        self._clock = clock
        self._tick = tick
        self._pause = pause
        self._limits = limits
        self._until = clock() + limits.duration
        self._tried: set[str] = set()
        self._is_careful = False
        self._refused: list[_Suspect] = []
        self._gave_out = False

    def fetch(self) -> bool:
        """Whether the mailbox has nothing more to fetch; False when the slice is full.

        Goes on with a new login where one broke, after a pause if that one brought nothing.
        Raises MailboxError when that does not help, Transient from broker and database.
        """
        suspect: _Suspect | None = None
        fruitless = 0
        while True:
            before = self.fetched
            try:
                with self._open_mailbox(False) as mailbox:
                    if suspect is not None:  # the server is there, so it was the mail
                        self._count_failure(suspect.place, suspect.mail, suspect.cause)
                        suspect = None
                    is_done = self._work(mailbox)
                self._count_refused()
                return is_done
            except _Broken as exc:
                suspect = exc.suspect
                fruitless = 0 if self.fetched > before else fruitless + 1
                log.warning("login_broke", account=self._account.name, cause=str(exc.error))
                if fruitless > self._limits.fruitless_logins:
                    raise exc.error from exc
                if fruitless:
                    self._pause(RETRY_AFTER_S[min(fruitless, len(RETRY_AFTER_S)) - 1])

    def _work(self, mailbox: Mailbox) -> bool:
        place = Place(self._account.name, mailbox.folder, mailbox.uidvalidity)
        window = _Window(place)
        try:
            is_done = self._fill(mailbox, window)
        except (_Broken, Interrupted):
            self._flush(window)
            raise
        self._flush(window)
        return is_done

    def _fill(self, mailbox: Mailbox, window: _Window) -> bool:
        forgotten = self._checkpoint.forget_other_uidvalidities(window.place)
        if forgotten:
            log.warning("uidvalidity_changed", account=self._account.name, forgotten=forgotten)
        try:
            mails = list(mailbox.listing())
        except ConnectionLost as exc:
            raise _Broken(exc, None) from exc
        if not mailbox.keeps_uids:
            self._checkpoint.forget_unlisted(window.place, {mail.uid for mail in mails}, self._run_id)
        windows = Windows(self._wanted(window.place, mails))
        while not windows.is_empty:
            self._tick()
            if self._is_full(window):
                return False
            room = self._limits.mails - self.fetched - len(window.mails)
            together = windows.take(room if mailbox.reads_together and not self._is_careful else 1)
            readings = self._read(mailbox, window.place, together)
            for mail in together:
                self._tick()
                reading = readings.get(mail.uid)
                self._gave_out |= isinstance(reading, Fetched | MailEmpty)
                if isinstance(reading, Fetched):
                    self._add(window, mail, reading)
                elif reading is not None:
                    self._refuse(window.place, mail, reading)
                if len(window.mails) >= self._limits.window_mails or window.size_bytes >= self._limits.window_bytes:
                    self._flush(window)
        return True

    def _wanted(self, place: Place, mails: Sequence[Listed]) -> Iterator[Listed]:
        for first in range(0, len(mails), _LOOK_UP):
            chunk = mails[first : first + _LOOK_UP]
            lasting = [mail for mail in chunk if mail.is_lasting]
            unknown = {mail.uid for mail in self._checkpoint.unknown(place, lasting)}
            for mail in chunk:
                if (not mail.is_lasting or mail.uid in unknown) and mail.uid not in self._tried:
                    yield mail

    def _is_full(self, window: _Window) -> bool:
        """Time alone never ends a slice that has brought nothing: the next one would get no further."""
        fetched = self.fetched + len(window.mails)
        return fetched >= self._limits.mails or (fetched > 0 and self._clock() >= self._until)

    def _read(
        self, mailbox: Mailbox, place: Place, together: Sequence[Listed]
    ) -> Mapping[str, Fetched | MailUnreadable]:
        """Where a connection breaks at several mails, none is to blame: what is left of the slice is read one by one."""
        try:
            return mailbox.read(together)
        except LoginOver as exc:
            raise _Broken(exc, None) from exc
        except ConnectionLost as exc:
            if len(together) > 1:
                self._is_careful = True
                raise _Broken(exc, None) from exc
            [mail] = together
            self._tried.add(mail.uid)
            raise _Broken(exc, _Suspect(place, mail, str(exc))) from exc

    def _refuse(self, place: Place, mail: Listed, error: MailUnreadable) -> None:
        self._tried.add(mail.uid)
        self._refused.append(_Suspect(place, mail, str(error)))

    def _count_refused(self) -> None:
        """What was not given out is tried in three runs.

        Raises MailboxUnreachable: a server that gives out nothing at all is in trouble itself.
        """
        if not self._gave_out and len(self._refused) >= _ALL_REFUSED:
            raise MailboxUnreachable(
                f"the server gives out none of {len(self._refused):,} mails ({self._refused[0].cause}). "
                "The next pass asks again; where that does not help, ask its operator"
            )
        for suspect in self._refused:
            if is_temporary_refusal(suspect.cause):  # the next pass tries it again, however often that takes
                log.warning("mail_refused_for_now", account=self._account.name, cause=suspect.cause)
            else:
                self._count_failure(suspect.place, suspect.mail, suspect.cause)

    def _count_failure(self, place: Place, mail: Listed, cause: str) -> None:
        self._tried.add(mail.uid)
        if not mail.is_lasting:
            log.warning("mail_unreadable", account=self._account.name, cause=cause)
            return
        tries = self._checkpoint.count_failure(place, self._run_id, mail, cause, self._clock())
        if tries >= self._limits.tries:
            log.error("mail_left_in_place", account=self._account.name, size_bytes=mail.size_bytes, cause=cause)
        else:
            log.warning("mail_unreadable", account=self._account.name, tries=tries, cause=cause)

    def _add(self, window: _Window, mail: Listed, fetched: Fetched) -> None:
        name = raw_id(fetched.raw)
        found = FoundMail(mail.uid if mail.is_lasting else nameless_uid(name), name, mail.size_bytes, fetched.truncated)
        if not mail.is_lasting:
            if name in self._checkpoint.published_by(self._run_id, [name]) or found in window.mails:
                return
            if name in self._checkpoint.judged([name]):  # read on every pass, but published once
                self._checkpoint.add(window.place, self._run_id, [found], self._clock())
                return
        window.mails.append(found)
        window.size_bytes += len(fetched.raw)
        window.messages.append(
            raw_bounce_message(
                fetched.raw,
                received_at=fetched.received_at or self._clock(),
                list_id=self._account.list_id,
                run_id=self._run_id,
                account=self._account.name,
                truncated=fetched.truncated,
                source=self._account.endpoint.protocol.value,
            )
        )

    def _flush(self, window: _Window) -> None:
        """Publish, and only then remember: a fetcher that dies in between publishes these again, which counts nothing twice."""
        if not window.mails:
            return
        self._publisher.publish(window.messages)
        self._checkpoint.add(window.place, self._run_id, window.mails, self._clock())
        self.fetched += len(window.mails)
        window.mails, window.messages, window.size_bytes = [], [], 0


class _Broken(Exception):
    def __init__(self, error: ConnectionLost, suspect: _Suspect | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.suspect = suspect
