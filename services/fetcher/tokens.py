"""Access tokens that are always good: renewed early, by one process at a time, and kept for all of them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from services.fetcher.errors import GrantOver, TokenEndpointUnreachable
from services.fetcher.grants import Grant, Obtained
from shared.tables.schema import DatabaseUnreachable

log = structlog.get_logger(__name__)

EARLY: Final = timedelta(minutes=5)
"""So long before its end a token is renewed; or at half its life, where that is short."""
ASKING: Final = timedelta(minutes=2)
"""A process that asks for a token and is killed leaves the others without one for so long."""
UNREACHABLE_PAUSE: Final = timedelta(seconds=15)
REFUSED_PAUSE: Final = timedelta(minutes=15)
"""A grant that is over is asked about so seldom; a new login ends the pause."""
KEEP_AGAIN_AFTER_S: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Within ASKING, with the minute that an endpoint may take."""
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of an account's login. All times are of the database's clock."""

    now: datetime
    access_token: str = field(repr=False)
    updated_at: datetime
    """When it was obtained."""
    expires_at: datetime
    is_asked_for: bool
    """Some process is asking for a new one."""
    is_paused: bool
    """It was asked for a moment ago, for nothing."""
    refusal: str
    """Why, where the token endpoint said no; empty when it did not answer."""

    @property
    def is_good(self) -> bool:
        """Whether its end is still to come."""
        return self.now < self.expires_at

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew it."""
        return self.now >= self.expires_at - min(EARLY, (self.expires_at - self.updated_at) / 2)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to ask the token endpoint, which nobody else has now."""

    account: str
    holder: str
    grant: Grant
    refresh_token: str = field(repr=False)


class TokenStore(Protocol):
    """Where logins and tokens are kept. Raises Transient when the database is away."""

    def read(self, account: str) -> Known | None:
        """None: nobody logged in for this account."""

    def claim(self, account: str, holder: str, seen: Known, lasting: timedelta) -> Claim | None:
        """None when another has the claim, or pauses, or the tokens are no longer those that were seen."""

    def keep(self, claim: Claim, obtained: Obtained) -> None:
        """Keep the tokens and end the claim, in one transaction.

        A claim that has lapsed, too, keeps a new refresh token as long as the one that was sent is still the one that is kept:
        the old one may be good no longer. Nothing happens when another has replaced it, or somebody logged in anew.
        """

    def pause(self, claim: Claim, lasting: timedelta, refusal: str) -> None:
        """End the claim; for so long nobody asks."""


class StoredTokens:
    """The token source of every process that has the database."""

    def __init__(
        self, store: TokenStore, wait: Callable[[float], object] = time.sleep, patience_s: float = 30.0
    ) -> None:
        """`wait(seconds)` is called while another process asks for the token that is needed here, up to `patience_s` in all."""
        self._store = store
        self._wait = wait
        self._patience_s = patience_s

    def token(self, account: str) -> str:
        """One that has not ended. Raises GrantOver, TokenEndpointUnreachable."""
        return self._find(account, "")

    def renew(self, account: str, refused: str) -> bool:
        """Whether there is another token than the one that the mail server refused. Raises as `token`."""
        return self._find(account, refused) != refused

    def _find(self, account: str, refused: str) -> str:
        waited_s = 0.0
        while True:
            known = self._store.read(account)
            if known is None:
                raise GrantOver(f"nobody has logged in for the account {account} yet: mailroom lists login {account}")
            usable = known.access_token if known.is_good and known.access_token != refused else ""
            if usable and not known.is_due:
                return usable
            if known.is_paused and not usable:
                raise _error(account, known.refusal)
            if not known.is_paused and not known.is_asked_for:
                claim = self._store.claim(account, uuid.uuid4().hex, known, ASKING)
                if claim is None:
                    continue  # another was faster, and has it, or has a token already
                return self._ask(claim, usable)
            if usable:
                return usable
            if waited_s >= self._patience_s:
                raise TokenEndpointUnreachable(
                    f"another process has been asking for a token of the account {account} for too long; "
                    "the next pass tries again"
                )
            self._wait(_POLL_S)
            waited_s += _POLL_S

    def _ask(self, claim: Claim, usable: str) -> str:
        """The new token; the old one where there is no new one and the old one will do."""
        try:
            obtained = claim.grant.obtain(claim.refresh_token)
        except (GrantOver, TokenEndpointUnreachable) as exc:
            is_over = isinstance(exc, GrantOver)
            self._store.pause(claim, REFUSED_PAUSE if is_over else UNREACHABLE_PAUSE, str(exc) if is_over else "")
            log.warning("token_not_renewed", account=claim.account, error=type(exc).__name__, cause=str(exc))
            if usable:
                return usable
            raise (_error(claim.account, str(exc)) if is_over else exc) from None
        self._keep(claim, obtained)
        log.info("token_renewed", account=claim.account, lifetime_s=int(obtained.lifetime.total_seconds()))
        return obtained.access_token

    def _keep(self, claim: Claim, obtained: Obtained) -> None:
        """Patiently: the refresh token that was sent may be good no longer, and the new one is nowhere else."""
        for delay_s in KEEP_AGAIN_AFTER_S:
            try:
                self._store.keep(claim, obtained)
            except DatabaseUnreachable as exc:
                log.warning("token_not_kept_yet", account=claim.account, after_s=delay_s, cause=str(exc))
                self._wait(delay_s)
            else:
                return
        self._store.keep(claim, obtained)


def _error(account: str, refusal: str) -> GrantOver | TokenEndpointUnreachable:
    if refusal:
        return GrantOver(f"{refusal}. Log in again: mailroom lists login {account}")
    return TokenEndpointUnreachable(
        f"the token endpoint of the account {account} did not answer a moment ago; the next pass tries again"
    )
