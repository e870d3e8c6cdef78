"""A mail server that is away for a moment is tried again within the run.

Refused, reset, timed out, not resolved, broken in the middle of a login, or in trouble by its own word (`[SYS/TEMP]`): three
times more, after 1, 5 and 20 s; then the run ends with its error noted, and the next one begins with the same. What a server
says no to is never tried again in a run: a login, a certificate, a missing STARTTLS or folder, a mailbox that another session
holds. Repeating a wrong password locks accounts.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from services.fetcher.errors import ConnectionLost, MailboxUnreachable
from services.fetcher.ports import Mailbox, OpenMailbox

RETRY_AFTER_S: Final = (1.0, 5.0, 20.0)
"""Shorter than a lease, each."""

log = structlog.get_logger(__name__)


def retrying(open_mailbox: OpenMailbox, account: str, pause: Callable[[float], None]) -> OpenMailbox:
    """The same, patiently. `pause(seconds)` may raise Interrupted."""

    def open_again(to_clean: bool) -> AbstractContextManager[Mailbox]:
        for delay_s in RETRY_AFTER_S:
            try:
                return open_mailbox(to_clean)
            except (MailboxUnreachable, ConnectionLost) as exc:
                log.warning("mailbox_tried_again", account=account, after_s=delay_s, cause=str(exc))
            pause(delay_s)
        return open_mailbox(to_clean)

    return open_again
