"""API tokens: what a program may do with one, and how it is kept. Pure."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.console.roles import Role, View, needs

PREFIX: Final = "mailroom_"
"""So that scanners for leaked secrets, and people, know one when they see it."""
_ATTRIBUTE: Final = "mailroom_scope"


class Scope(StrEnum):
    """What a token is good for; none includes another."""

    CHECK = "check"
    """May these addresses be mailed?"""
    SUPPRESS = "suppress"
    """Suppress and release addresses."""
    HISTORY = "history"
    """What is known of an address."""
    LISTS = "lists"
    """Contact lists and their bounce accounts."""
    RUNS = "runs"
    """Begin, watch, apply and drop runs."""
    DEAD_LETTERS = "dead-letters"
    """Look at, replay and discard what could not be handled."""
    INTAKE = "intake"
    """Hand raw bounces in."""


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


def hash_token(token: str) -> str:
    """What is kept of it: a dump of the database lets nobody in."""
    return hashlib.sha256(f"api token\n{token}".encode(errors="replace")).hexdigest()


def needs_scope(scope: Scope) -> Callable[[View], View]:
    """The scope that a view of the API asks for. Nearest to the function, so that the route's decorator sees it."""

    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, scope)
        return needs(Role.ANYBODY)(view)  # no person: a program with its token

    return mark


def needed_scope(view: Callable[..., object] | None) -> Scope | None:
    """None when it says nothing; then nobody may use it."""
    return getattr(view, _ATTRIBUTE, None)
