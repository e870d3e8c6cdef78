"""Who may do what. Every route says which role it needs; one that says nothing is refused to everybody. Pure."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


class Role(StrEnum):
    """Each may do what those before it may."""

    ANYBODY = "anybody"
    """Who is not logged in, too."""
    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Processes bounces, suppresses, releases, replays."""
    ADMINISTRATOR = "administrator"
    """Keeps lists, accounts, the policy and people."""

    def may(self, needed: "Role") -> bool:
        """Whether somebody of this role may use what needs that one."""
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER: Final = list(Role)
GIVEN: Final = (Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR)
"""Roles that a person can have."""

_ATTRIBUTE: Final = "mailroom_role"


def needs(role: Role) -> Callable[[View], View]:
    """The least role for a view. Nearest to the function, so that the route's decorator sees it."""

    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, role)
        return view

    return mark


def needed_role(view: Callable[..., Any] | None) -> Role | None:
    """The role that a view asks for; None when it says nothing."""
    return getattr(view, _ATTRIBUTE, None)
