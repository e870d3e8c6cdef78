"""What the scheduler needs of a database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.scheduler.planning import Change, Known
from services.scheduler.watching import Passes


class ScheduleStore(Protocol):
    """The accounts and their plans. Every method is one transaction, and raises Transient when waiting may help."""

    def read(self) -> tuple[datetime, list[Known], list[str]]:
        """The database's now; what may have to be planned or asked for; and what has a plan but is paused or gone.

        Of the active accounts with an interval, those that `plan` would leave alone may be left out.
        """

    def write(self, changes: Sequence[Change], publish: Callable[[Sequence[Change]], None]) -> list[Change]:
        """The changes that were written: those whose row was still what it was, and in nobody else's hands.

        `publish` is given the requests among them, before they are written and while nobody else can make them.
        """

    def forget(self, accounts: Sequence[str]) -> None:
        """Drop the plans of accounts that are paused or gone."""

    def read_passes(self) -> tuple[datetime, list[Passes]]:
        """The database's now, and what is known of the passes over every account, by name."""

    def tell(self, alerts: Mapping[str, bool], say: Callable[[str], None]) -> None:
        """Remember whether a person is told of each account; `say` is called for those of which that is new."""
