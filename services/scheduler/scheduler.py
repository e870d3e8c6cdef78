"""One pass: what is due is put on the queue, confirmed, and only then written down."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.scheduler.planning import Change, Schedule, plan
from services.scheduler.ports import ScheduleStore
from services.scheduler.watching import Condition, Passes, judge
from shared.bus import Message, Publisher
from shared.meters import ACCOUNT_ALERTS, ACCOUNTS
from shared.wire import fetch_request_message

log = structlog.get_logger(__name__)

CHUNK: Final = 500
"""Accounts in one transaction, and requests in one window of confirms."""


class Scheduler:
    """Any number of them may run at once: what one has in hand the others leave alone."""

    def __init__(self, store: ScheduleStore, publisher: Publisher, *, silent_after: timedelta | None = None) -> None:
        """`silent_after`: None means what `judge` says."""
        self._store = store
        self._publisher = publisher
        self._silent_after = silent_after

    def ask(self) -> int:
        """Ask for every account that is due; how many requests were put on the queue.

        Raises Transient when the broker or the database is away: what was written until then stands, and what was not
        is due again. Killed between the broker's confirm and the commit, it asks twice: the lease of the fetchers makes
        that harmless.
        """
        now, accounts, others = self._store.read()
        planned = (plan(known, now, _new_run_id) for known in accounts)
        changes = sorted((change for change in planned if change is not None), key=lambda change: change.after.account)
        asked = 0
        for first in range(0, len(changes), CHUNK):
            written = self._store.write(changes[first : first + CHUNK], self._publish)
            asked += sum(change.is_request for change in written)
            for change in written:
                if change.is_request and change.after.puts > 1:
                    log.warning("request_put_again", account=change.account, puts=change.after.puts)
        for first in range(0, len(others), CHUNK):
            self._store.forget(others[first : first + CHUNK])
        if asked:
            log.info("accounts_asked_for", requests=asked)
        return asked

    def _publish(self, changes: Sequence[Change]) -> None:
        self._publisher.publish([_request(change.after) for change in changes])

    def watch(self) -> None:
        """Tell of each account that has become silent or well again, once. Raises Transient when the database is away."""
        now, accounts = self._store.read_passes()
        judged = {passes.account: (passes, *judge(passes, now, self._silent_after)) for passes in accounts}
        _show([(name, condition, is_alert) for name, (_, condition, is_alert) in judged.items()])
        changed = {name: is_alert for name, (passes, _, is_alert) in judged.items() if is_alert != passes.is_told}

        def say(account: str) -> None:
            passes, condition, is_alert = judged[account]
            if is_alert:
                _say_silent(passes, condition)
            else:
                log.info("account_well_again", account=account)

        names = sorted(changed)
        for first in range(0, len(names), CHUNK):
            self._store.tell({name: changed[name] for name in names[first : first + CHUNK]}, say)


def _show(judged: Sequence[tuple[str, Condition, bool]]) -> None:
    conditions = Counter(condition for _, condition, _ in judged)
    for condition in Condition:
        ACCOUNTS.labels(condition.value).set(conditions[condition])
    ACCOUNT_ALERTS.clear()
    for account, _, is_alert in judged:
        ACCOUNT_ALERTS.labels(account).set(is_alert)


def _request(asked: Schedule) -> Message:
    assert asked.run_id is not None
    assert asked.requested_at is not None
    return fetch_request_message(
        {
            "schema_version": 1,
            "account": asked.account,
            "run_id": asked.run_id,
            "requested_at": asked.requested_at,
        }
    )


def _new_run_id() -> str:
    return uuid.uuid4().hex


def _say_silent(passes: Passes, condition: str) -> None:
    log.error(
        "account_silent",
        account=passes.account,
        condition=condition,
        succeeded_at=_text(passes.succeeded_at),
        tried_at=_text(passes.tried_at),
        cause=passes.last_error,
    )


def _text(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time is not None else None
