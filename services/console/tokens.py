"""API tokens: what a program may do with one, and how it is kept. Pure."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.console.roles import Role, View, needs

PURPOSE: Final = "api token"
"""Under which tokens are hashed."""
PREFIX: Final = "mailroom_"
"""So that scanners for leaked secrets, and people, know one when they see it."""
_ATTRIBUTE: Final = "mailroom_scope"


class Scope(StrEnum):
    """What a token is good for; none includes another."""

    CHECK = "check"
    SUPPRESS = "suppress"
    HISTORY = "history"
    LISTS = "lists"
    RUNS = "runs"
    DEAD_LETTERS = "dead-letters"
    INTAKE = "intake"


MEANING: Final = {
    Scope.CHECK: "may these addresses be mailed?",
    Scope.SUPPRESS: "suppress and release addresses",
    Scope.HISTORY: "what is known of an address",
    Scope.LISTS: "contact lists and their bounce accounts",
    Scope.RUNS: "begin, watch, apply and drop runs",
    Scope.DEAD_LETTERS: "look at, replay and discard what could not be handled",
    Scope.INTAKE: "hand raw bounces in",
}


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One, without what the program holds."""

    name: str
    scopes: frozenset[Scope]
    made_by: str
    made_at: datetime
    used_at: datetime | None = None
    """To the minute."""
    revoked_at: datetime | None = None

    @property
    def who(self) -> str:
        """For the audit."""
        return f"token {self.name}"


def new_token() -> str:
    """What a program sends as `Authorization: Bearer …`; it is shown once and kept nowhere."""
    return PREFIX + secrets.token_urlsafe(32)


def needs_scope(scope: Scope) -> Callable[[View], View]:
    """The scope that a view of the API asks for. Nearest to the function, so that the route's decorator sees it."""

    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, scope)
        return needs(Role.ANYBODY)(view)  # no person: a program with its token

    return mark


def needed_scope(view: Callable[..., object] | None) -> Scope | None:
    """None when it says nothing; then nobody may use it."""
    return getattr(view, _ATTRIBUTE, None)
