"""The policy in the database: which one is in force, and bringing every address under a new one."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, and_, func, insert, select, text, update

from services.ledger.policy import Policy
from services.ledger.ports import Change
from services.ledger.standings_sql import POLICY_GATE, lock_addresses, read_policy, recompute
from shared.errors import ConfigurationError
from shared.tables.ledger import address, audit, policy
from shared.tables.transactions import now_of, transaction

PAGE: Final = 1_000
_SUBJECT: Final = "policy"


class InForce(NamedTuple):
    """A version of the policy; `recomputed_at` is None while some addresses still stand by an older one."""

    version: int
    limits: Policy
    made_at: datetime
    recomputed_at: datetime | None
    judged: int = 0
    """Addresses that stand by it so far, while they are judged anew."""
    to_judge: int | None = None
    """Of how many; None before that began."""


class Version(NamedTuple):
    """One that is or was in force; who and why are empty for the first, which nobody chose."""

    in_force: InForce
    who: str
    why: str


class SqlPolicy:
    """Raises DatabaseUnreachable from every method."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def in_force(self) -> InForce:
        """The newest version."""
        with transaction(self._engine, is_reading=True) as connection:
            return _newest(connection)

    def versions(self, size: int = 20) -> list[Version]:
        """The newest first."""
        # A change and its word in the audit are of one moment.
        is_its_word = and_(audit.c.subject == _SUBJECT, audit.c.made_at == policy.c.made_at)
        chosen = select(policy, audit.c.who, audit.c.why).outerjoin(audit, is_its_word)
        with transaction(self._engine, is_reading=True) as connection:
            rows = connection.execute(chosen.order_by(policy.c.version.desc()).limit(size)).all()
        return [Version(_in_force(row), row.who or "", row.why or "") for row in rows]

    def change(self, limits: Policy, who: str, why: str) -> InForce:
        """Put a policy in force for whatever is recorded from now on; `recompute` brings the addresses after it.

        The policy that is in force already stays as it is. Raises ConfigurationError for a limit below 1.
        """
        if limits.soft_limit < 1:
            raise ConfigurationError(
                f"a soft limit of {limits.soft_limit} suppresses whom nothing was reported of; 1 is the least"
            )
        with transaction(self._engine) as connection:
            if connection.dialect.name == "postgresql":  # batches that judge by the old one end first
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:gate))"), {"gate": POLICY_GATE})
            newest = _newest(connection)
            if newest.limits == limits:
                return newest
            now = now_of(connection)
            made = InForce(newest.version + 1, limits, now, None)
            connection.execute(insert(policy).values(version=made.version, made_at=now, **limits._asdict()))
            complaints = "suppress" if limits.complaint_suppresses else "count for nothing"
            what = f"soft_limit {limits.soft_limit}, complaints {complaints}"
            said = {"made_at": now, "who": who, "what": what[:64], "subject": _SUBJECT, "why": why}
            connection.execute(insert(audit).values(**said))
            return made

    def recompute(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[list[Change]]:
        """Judge every address anew, a page a transaction; what changed on each, after its commit.

        Safe beside ledgers, twice, and again after it was interrupted. `progress` is told how many of how many are done.
        """
        version = self.in_force().version
        with transaction(self._engine, is_reading=True) as connection:
            total: int = connection.execute(select(func.count()).select_from(address)).scalar_one()
        after, done = "", 0
        while page := self._page(after):
            with transaction(self._engine) as connection:
                now = now_of(connection)
                before = lock_addresses(connection, page, now)
                changes = recompute(connection, before, read_policy(connection), now)
                after, done = page[-1], done + len(page)
                reached = update(policy).where(policy.c.version == version)
                connection.execute(reached.values(judged=done, to_judge=max(done, total)))
            progress(done, max(done, total))
            yield changes
        with transaction(self._engine) as connection:
            told = update(policy).where(policy.c.version == version, policy.c.recomputed_at.is_(None))
            connection.execute(told.values(recomputed_at=now_of(connection)))

    def _page(self, after: str) -> list[str]:
        chosen = select(address.c.recipient).where(address.c.recipient > after)
        with transaction(self._engine, is_reading=True) as connection:
            return list(connection.execute(chosen.order_by(address.c.recipient).limit(PAGE)).scalars())


def _newest(connection: Connection) -> InForce:
    row = connection.execute(select(policy).order_by(policy.c.version.desc()).limit(1)).one()
    return _in_force(row)


def _in_force(row: Any) -> InForce:
    return InForce(
        row.version,
        Policy(row.soft_limit, row.complaint_suppresses),
        row.made_at,
        row.recomputed_at,
        row.judged or 0,
        row.to_judge,
    )
