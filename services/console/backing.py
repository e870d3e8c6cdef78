"""What the pages work with: the owners' functions over one database. Made in app.py, found through the application."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from flask import current_app
from sqlalchemy import Engine

from services.console.contacts_sql import SqlContacts
from services.console.links import OneTimeLink
from services.console.pace import Pace
from services.console.people_sql import SqlPeople
from services.console.replies_sql import SqlReplies
from services.console.run_tallies import RunTallies
from services.console.tokens_sql import SqlApiTokens
from services.fetcher.lists_sql import SqlLists
from services.fetcher.reach import Reach
from services.ledger.archive_sql import SqlArchive
from services.ledger.dead_letters_sql import SqlDeadLetters
from services.ledger.history_sql import SqlHistory
from services.ledger.looking_sql import SqlLooking
from services.ledger.marking import Marking
from services.ledger.policy_sql import SqlPolicy
from services.ledger.runs_sql import SqlRuns
from services.ledger.tallies_sql import SqlTallies
from services.scheduler.passes_sql import tally_run
from shared.bus import Publisher
from shared.secrets import SecretBox
from shared.suppressions import Suppressions

EXTENSION = "mailroom"


@dataclass(frozen=True)
class Backing:
    """One for the process; its parts may be used by several threads at once."""

    engine: Engine
    suppressions: Suppressions
    marking: Marking
    publisher: Publisher
    open_box: Callable[[], SecretBox]
    reach: Reach
    """Where [Test Bounce Settings] may connect to."""
    queue_depths: Callable[[], dict[str, int] | None]
    """Messages that wait, by queue; None while the broker is away."""
    pace: Pace
    """How often a token may ask."""
    link: OneTimeLink | None = None
    """For whoever started this process, if it is theirs alone."""

    @cached_property
    def people(self) -> SqlPeople:
        """Who may use the console."""
        return SqlPeople(self.engine)

    @cached_property
    def tokens(self) -> SqlApiTokens:
        """Programs that may use the API."""
        return SqlApiTokens(self.engine)

    @cached_property
    def replies(self) -> SqlReplies:
        """What they were answered."""
        return SqlReplies(self.engine)

    @cached_property
    def lists(self) -> SqlLists:
        """Contact lists and bounce accounts."""
        return SqlLists(self.engine)

    @cached_property
    def contacts(self) -> SqlContacts:
        """Who is on the lists."""
        return SqlContacts(self.engine)

    @cached_property
    def history(self) -> SqlHistory:
        """Everything that is known of an address."""
        return SqlHistory(self.engine)

    @cached_property
    def runs(self) -> SqlRuns:
        """Held runs."""
        return SqlRuns(self.engine)

    @cached_property
    def run_tallies(self) -> RunTallies:
        """What runs found so far."""
        return RunTallies(partial(tally_run, self.engine))

    @cached_property
    def archive(self) -> SqlArchive:
        """Raw mails."""
        return SqlArchive(self.engine)

    @cached_property
    def dead_letters(self) -> SqlDeadLetters:
        """What could not be handled."""
        return SqlDeadLetters(self.engine)

    @cached_property
    def looking(self) -> SqlLooking:
        """What people look through."""
        return SqlLooking(self.engine)

    @cached_property
    def tallies(self) -> SqlTallies:
        """What came on each day."""
        return SqlTallies(self.engine)

    @cached_property
    def policy(self) -> SqlPolicy:
        """How many soft bounces, and what complaints do."""
        return SqlPolicy(self.engine)


def backing() -> Backing:
    """That of the application at work."""
    found: Backing = current_app.extensions[EXTENSION]
    return found
