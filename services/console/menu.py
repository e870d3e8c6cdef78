"""The menu: what stands in it, and who sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.console.roles import Role


@dataclass(frozen=True, slots=True)
class Entry:
    """One link."""

    label: str
    endpoint: str
    role: Role = Role.VIEWER


@dataclass(frozen=True, slots=True)
class Section:
    """A head, and the links under it."""

    label: str
    entries: Sequence[Entry]
    role: Role = Role.VIEWER


MENU: Final = (
    Section("Overview", (Entry("Dashboard", "dashboard.show"),)),
    Section(
        "Contact Lists",
        (
            Entry("View Contact Lists", "lists.view"),
            Entry("Process Bounced Emails", "process.pick", Role.OPERATOR),
            Entry("Runs", "runs.view"),
        ),
    ),
    Section(
        "Bounces",
        (
            Entry("Addresses", "addresses.find"),
            Entry("Unidentified", "unidentified.view"),
            Entry("Dead Letters", "dead_letters.view"),
        ),
    ),
    Section(
        "Settings",
        (
            Entry("Policy", "policy.show", Role.ADMINISTRATOR),
            Entry("Users", "users.view", Role.ADMINISTRATOR),
            Entry("API Tokens", "tokens.view", Role.ADMINISTRATOR),
            Entry("Audit", "audit.view", Role.ADMINISTRATOR),
        ),
        Role.ADMINISTRATOR,
    ),
)
