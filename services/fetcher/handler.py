"""One request, one slice: clean what is recorded, fetch what is new, hand the rest on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.fetcher.accounts import Account
from services.fetcher.cleaning import clean_mailbox
from services.fetcher.emptying import Empty, Judged
from services.fetcher.errors import (
    AccountUnusable,
    CannotClean,
    ConnectionLost,
    Interrupted,
    MailboxError,
    RunDropped,
    UnknownAccount,
)
from services.fetcher.fetching import SliceFetcher, SliceLimits
from services.fetcher.opening import open_mailbox
from services.fetcher.ports import AccountBook, Checkpoint, Mailbox, OpenMailbox, RecordedMail
from services.fetcher.retrying import retrying
from shared.bus import Delivery, Publisher, Rejection
from shared.contract import FetchRequest
from shared.errors import Permanent
from shared.meters import CLEANED, FETCHED, MAILBOX_FAILURES
from shared.progress import moved
from shared.wire import fetch_request_message, read_fetch_request

log = structlog.get_logger(__name__)

LOGIN_REMOVES: Final = 500
"""Mails removed in the first login: on POP3 nothing is deleted before QUIT, so what breaks before it has been for nothing.

After each login that ended well twice as many: each lists the mailbox anew.
"""
LOGIN_REMOVES_AT_MOST: Final = 8_000
"""A server has Deadlines.idle_s to delete them at QUIT; Dovecot was seen to take longer for 64,000."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is waited for."""

    poll_s: float = 1.0
    unmoved: timedelta = timedelta(seconds=60)
    """A run whose waiting mails have not grown fewer for so long is left to the next pass."""
    lease: timedelta = timedelta(seconds=30)
    """So long the mailbox of a killed fetcher rests. One mail may take longer; two fetchers at once cost time, no mail."""
    renew: timedelta = timedelta(seconds=5)


def open_account(account: Account) -> OpenMailbox:
    """The account's own way to its mailbox."""
    return partial(open_mailbox, account.endpoint, account.login, account.folder)


class FetchHandler:
    """Takes deliveries of fetcher.requests. A mailbox that is away ends its request, and disturbs nothing else."""

    def __init__(
        self,
        accounts: AccountBook,
        checkpoint: Checkpoint,
        publisher: Publisher,
        *,
        holder: str,
        wait: Callable[[float], bool],
        opener: Callable[[Account], OpenMailbox] = open_account,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        limits: SliceLimits = SliceLimits(),  # noqa: B008 (frozen)
        patience: Patience = Patience(),
    ) -> None:
        """`holder` names this fetcher to the others; `wait(seconds)` is true as soon as the service has to stop."""
        self._accounts = accounts
        self._checkpoint = checkpoint
        self._publisher = publisher
        self._holder = holder
        self._wait = wait
        self._opener = opener
        self._clock = clock
        self._limits = limits
        self._patience = patience

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Rejection]:
        """Raises Transient when broker or database are away, and when the service has to stop."""
        rejections = []
        for delivery in deliveries:
            try:
                request = read_fetch_request(delivery.message)
                account = self._accounts.find(request["account"])
            except Permanent as exc:
                rejections.append(Rejection(delivery, str(exc)))
                continue
            except AccountUnusable as exc:
                self._note_unusable(request, exc)
                continue
            if self._serve(account, request):
                # after the lease was given back, or whoever takes this one up would find the mailbox taken
                self._publisher.publish([fetch_request_message(request)])
        return rejections

    def _note_unusable(self, request: FetchRequest, error: AccountUnusable) -> None:
        log.error("account_unusable", account=request["account"], run_id=request["run_id"], cause=str(error))
        self._checkpoint.begin_run(request["run_id"], request["account"], self._clock())
        self._checkpoint.note_error(request["run_id"], str(error))

    def _serve(self, account: Account, request: FetchRequest) -> bool:
        """Whether there is a rest for another slice."""
        run = _Run(account, request["run_id"], self._opener(account))
        self._checkpoint.begin_run(run.run_id, account.name, self._clock())
        if not self._take_lease(account.name):
            log.info("mailbox_taken", account=account.name, run_id=run.run_id)
            self._checkpoint.note_error(
                run.run_id, "another fetcher was working this mailbox; its run finds these mails"
            )
            return False
        lease = _Lease(self._checkpoint, run, self._holder, self._clock, self._patience)
        try:
            lease.require_wanted()
            self._checkpoint.forget_dropped(account.name)
            return self._work(run, lease)
        except RunDropped as exc:
            log.info("run_dropped", account=account.name, run_id=run.run_id)
            self._checkpoint.note_error(run.run_id, str(exc))
            self._checkpoint.mark_finished(run.run_id, self._clock())
            return False
        except MailboxError as exc:
            log.error(
                "mailbox_failed", account=account.name, run_id=run.run_id, error=type(exc).__name__, cause=str(exc)
            )
            MAILBOX_FAILURES.labels(account.name, type(exc).__name__).inc()
            self._checkpoint.note_error(run.run_id, str(exc))
            return False
        finally:
            self._checkpoint.release_lease(account.name, self._holder)

    def _take_lease(self, account: str) -> bool:
        """False when another fetcher is alive on that mailbox: its run will find whatever this one would.

        A fetcher that was killed leaves its lease behind, so one that is not renewed is waited for; and so is, for as long, one
        whose run was dropped: what that found is still to be found.
        """
        first_seen: datetime | None = None
        waited_s = 0.0
        while True:
            now = self._clock()
            if first_seen is not None and waited_s > self._patience.lease.total_seconds():
                now_there = max(now, first_seen + timedelta(seconds=1))  # its clock was ahead of ours
            else:
                now_there = now
            held_until = self._checkpoint.take_lease(account, self._holder, now_there, now + self._patience.lease)
            if held_until is None:
                return True
            is_alive = first_seen is not None and held_until > first_seen
            is_patient = waited_s + self._patience.poll_s <= self._patience.lease.total_seconds()
            if is_alive and not (is_patient and self._checkpoint.is_dropped_one_at_work(account)):
                return False
            first_seen = held_until
            self._pause(self._patience.poll_s)
            waited_s += self._patience.poll_s

    def _work(self, run: "_Run", lease: "_Lease") -> bool:
        def tick() -> None:
            moved()
            if self._wait(0):
                raise Interrupted("the fetcher was told to stop; the rest of this slice comes again")
            lease.renew_when_due()

        def pause(seconds: float) -> None:
            self._pause(seconds)
            lease.renew_when_due()

        run = replace(run, open_mailbox=retrying(run.open_mailbox, run.account.name, pause))
        self._clean(run, tick)
        fetcher = SliceFetcher(
            run.account,
            run.run_id,
            run.open_mailbox,
            self._checkpoint,
            self._publisher,
            self._clock,
            tick,
            pause,
            self._limits,
        )
        try:
            is_done = fetcher.fetch()
        finally:
            FETCHED.labels(run.account.name).inc(fetcher.fetched)
        log.info("slice_fetched", account=run.account.name, run_id=run.run_id, mails=fetcher.fetched, is_last=is_done)
        if not is_done:
            return True
        self._checkpoint.mark_fetched(run.run_id, self._clock())
        if run.account.emptying.empty != Empty.NOTHING:
            self._await_ledger(run, lease)
            self._clean(run, tick)
        self._checkpoint.mark_finished(run.run_id, self._clock())
        return False

    def _clean(self, run: "_Run", tick: Callable[[], None]) -> None:
        """Remove what may go, some in each login. What cannot be removed stays, and never keeps new mails from being fetched.

        What a person has chosen since the run began holds.
        """
        try:
            account = replace(run.account, emptying=self._accounts.find(run.account.name).emptying)
        except UnknownAccount:
            log.warning("account_removed", account=run.account.name, run_id=run.run_id)
            return
        if account.emptying.empty == Empty.NOTHING:
            return
        mails = [
            mail
            for mail in self._checkpoint.recorded(account.name, account.folder)
            if account.emptying.takes(mail.judged)
        ]
        share, first = LOGIN_REMOVES, 0
        while first < len(mails):
            tick()
            part = mails[first : first + share]
            try:
                cleaned = clean_mailbox(
                    run.open_mailbox,
                    account.emptying,
                    partial(_of_this_uidvalidity, part),
                    self._checkpoint.judged,
                    tick,
                )
            except (CannotClean, ConnectionLost) as exc:
                share //= 4
                if isinstance(exc, ConnectionLost) and share:
                    log.warning("cleaning_broke", account=account.name, run_id=run.run_id, cause=str(exc), share=share)
                    continue
                log.error("cleaning_failed", account=account.name, run_id=run.run_id, cause=str(exc))
                self._checkpoint.note_error(run.run_id, str(exc))
                return
            self._checkpoint.mark_cleaned(cleaned.place(account.name), cleaned.uids, self._clock())
            CLEANED.labels(account.name).inc(len(cleaned.uids))
            log.info("mailbox_cleaned", account=account.name, run_id=run.run_id, mails=len(cleaned.uids))
            first += len(part)
            share = min(2 * share, LOGIN_REMOVES_AT_MOST)

    def _await_ledger(self, run: "_Run", lease: "_Lease") -> None:
        """Until nothing of the run waits, or nothing has moved for a while; logged out all the time.

        The while is counted, for a clock may be set.
        """
        waiting = self._checkpoint.waiting(run.run_id)
        unmoved_s = 0.0
        while waiting and unmoved_s < self._patience.unmoved.total_seconds():
            self._pause(self._patience.poll_s)
            lease.renew_when_due()
            left = self._checkpoint.waiting(run.run_id)
            unmoved_s = 0.0 if left < waiting else unmoved_s + self._patience.poll_s
            waiting = left
        if waiting:
            log.warning("mails_still_waiting", account=run.account.name, run_id=run.run_id, mails=waiting)

    def _pause(self, seconds: float) -> None:
        moved()
        if self._wait(seconds):
            raise Interrupted("the fetcher was told to stop; this request comes again")


@dataclass(frozen=True, slots=True)
class _Run:
    account: Account
    run_id: str
    open_mailbox: OpenMailbox


class _Lease:
    """Ours for as long as the run is wanted."""

    def __init__(
        self, checkpoint: Checkpoint, run: _Run, holder: str, clock: Callable[[], datetime], patience: Patience
    ) -> None:
        self._checkpoint = checkpoint
        self._run = run
        self._holder = holder
        self._clock = clock
        self._patience = patience
        self._renew_at = clock() + patience.renew

    def renew_when_due(self) -> None:
        """Raises RunDropped."""
        now = self._clock()
        if not self._renew_at - self._patience.renew <= now < self._renew_at:  # or the clock was set back
            self.require_wanted()
            self._checkpoint.take_lease(self._run.account.name, self._holder, now, now + self._patience.lease)
            self._renew_at = now + self._patience.renew

    def require_wanted(self) -> None:
        """Raises RunDropped."""
        if self._checkpoint.is_dropped(self._run.run_id):
            raise RunDropped("the run was dropped; its mails stay in the mailbox, and the next run finds them")


def _of_this_uidvalidity(mails: Sequence[RecordedMail], mailbox: Mailbox) -> list[tuple[str, Judged]]:
    return [(mail.uid, mail.judged) for mail in mails if mail.uidvalidity == mailbox.uidvalidity]
