"""Logins and tokens on PostgreSQL and SQLite, sealed, by the database's clock."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Engine, or_, select, update

from services.fetcher.errors import GrantOver
from services.fetcher.grants import Grant, Obtained, grant_as_text, read_grant
from services.fetcher.tokens import Claim, Known
from shared.secrets import CannotOpen, SecretBox
from shared.tables.fetcher import bounce_account, login_token
from shared.tables.transactions import insert, now_of, transaction

OAUTH2: Final = "oauth2"
"""The `login` of a bounce account whose tokens stand here."""

SEALED_COLUMNS: Final = ("grant", "refresh_token", "access_token")
"""Each with `sealed_` before it."""


class SqlTokens:
    """Every method is one transaction, and raises DatabaseUnreachable when waiting may help."""

    def __init__(self, engine: Engine, box: SecretBox, purpose: str) -> None:
        """`purpose` says for whom and where to: what was kept for one account and server cannot be opened for another."""
        self._engine = engine
        self._box = box
        self._purpose = purpose

    def read(self, account: str) -> Known | None:
        """None: nobody logged in for this account."""
        with transaction(self._engine, is_reading=True) as connection:
            now = now_of(connection)
            row = connection.execute(select(login_token).where(login_token.c.account == account)).one_or_none()
        if row is None:
            return None
        is_quiet = row.quiet_until is not None and row.quiet_until > now
        return Known(
            now=now,
            access_token=self._open(account, "access_token", row.sealed_access_token),
            updated_at=row.updated_at,
            expires_at=row.expires_at,
            is_asked_for=is_quiet and row.holder is not None,
            is_paused=is_quiet and row.holder is None,
            refusal=row.refusal or "",
        )

    def claim(self, account: str, holder: str, seen: Known, lasting: timedelta) -> Claim | None:
        """None when another has the claim, or pauses, or the tokens are no longer those that were seen."""
        with transaction(self._engine) as connection:
            now = now_of(connection)
            taken = (
                update(login_token)
                .where(
                    login_token.c.account == account,
                    login_token.c.updated_at == seen.updated_at,
                    or_(login_token.c.quiet_until.is_(None), login_token.c.quiet_until <= now),
                )
                .values(holder=holder, quiet_until=now + lasting)
                .returning(login_token.c.sealed_grant, login_token.c.sealed_refresh_token)
            )
            row = connection.execute(taken).one_or_none()
            if row is None:
                return None
            return Claim(account, holder, *self._granted(account, row))  # what does not open leaves no claim behind

    def keep(self, claim: Claim, obtained: Obtained) -> None:
        """The new refresh token replaces the old one with the access token, or neither does.

        Also after the claim has lapsed, unless the refresh token that was sent has been replaced in the meantime.
        """
        of_account = login_token.c.account == claim.account
        with transaction(self._engine) as connection:
            row = connection.execute(select(login_token).where(of_account).with_for_update()).one_or_none()
            if row is None:
                return
            is_own = row.holder == claim.holder
            if not is_own and not obtained.refresh_token:
                return  # nothing would be lost
            if self._granted(claim.account, row) != (claim.grant, claim.refresh_token):
                return
            values = self._tokens(obtained, now_of(connection))
            connection.execute(update(login_token).where(of_account).values(values))

    def pause(self, claim: Claim, lasting: timedelta, refusal: str) -> None:
        """End the claim; for so long nobody asks."""
        with transaction(self._engine) as connection:
            until = now_of(connection) + lasting
            connection.execute(_held(claim).values(holder=None, quiet_until=until, refusal=refusal or None))

    def log_in(self, account: str, grant: Grant, obtained: Obtained) -> None:
        """Begin anew with what was granted now; the tokens and the password that were there before are gone, also a claim."""
        with transaction(self._engine) as connection:
            sealed = self._seal("grant", grant_as_text(grant))
            values = {"purpose": self._purpose, "sealed_grant": sealed, "sealed_refresh_token": None}
            values |= self._tokens(obtained, now_of(connection))
            row = insert(connection, login_token).values({"account": account} | values)
            connection.execute(row.on_conflict_do_update(index_elements=[login_token.c.account], set_=values))
            of_account = bounce_account.c.name == account
            now_by_token = {"login": OAUTH2, "secret": None, "updated_at": values["updated_at"]}
            connection.execute(update(bounce_account).where(of_account).values(now_by_token))

    def _granted(self, account: str, row: Any) -> tuple[Grant, str]:
        """The grant, and the refresh token that belongs to it. Raises GrantOver when they do not open."""
        grant = read_grant(self._open(account, "grant", row.sealed_grant))
        return grant, self._open(account, "refresh_token", row.sealed_refresh_token)

    def _tokens(self, obtained: Obtained, now: Any) -> dict[str, Any]:
        values = {
            "sealed_access_token": self._seal("access_token", obtained.access_token),
            "expires_at": now + obtained.lifetime,
            "updated_at": now,
            "holder": None,
            "quiet_until": None,
            "refusal": None,
        }
        if obtained.refresh_token:
            values["sealed_refresh_token"] = self._seal("refresh_token", obtained.refresh_token)
        return values

    def _seal(self, column: str, text: str) -> str:
        return self._box.seal(text, purpose_of(self._purpose, column))

    def _open(self, account: str, column: str, sealed: str | None) -> str:
        try:
            return self._box.open(sealed, purpose_of(self._purpose, column)) if sealed else ""
        except CannotOpen as exc:
            raise GrantOver(f"{exc}, with `mailroom lists login {account}`") from exc


def purpose_of(purpose: str, column: str) -> str:
    """What a column is sealed for: none of the three opens as another."""
    return f"{purpose}: {column}"


def _held(claim: Claim) -> Any:
    return update(login_token).where(login_token.c.account == claim.account, login_token.c.holder == claim.holder)
