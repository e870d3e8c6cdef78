"""Rules about people: their names, how long a session lasts, and how long the next guess of a password waits. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.console.hashing import hash_secret
from services.console.roles import Role
from shared.errors import ConfigurationError

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=12)
FREE_GUESSES: Final = 5
"""For a name; for a client twice as many, as several people may come from one address."""
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(minutes=15)
FORGOTTEN_AFTER: Final = timedelta(hours=24)
LEAST_PASSWORD: Final = 12
MOST_PASSWORD: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Person:
    """Who uses the console."""

    name: str
    role: Role
    is_active: bool = True
    created_at: datetime | None = None
    last_login_at: datetime | None = None


def check_name(name: str) -> None:
    """Raises ConfigurationError."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no user name: at most 64 of letters, digits, '.', '_', '@' and '-', beginning with a letter or digit"
        )


def check_password(password: str) -> None:
    """Raises ConfigurationError, which does not repeat it."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise ConfigurationError(
            f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters; this has {len(password)}"
        )


def is_over(created_at: datetime, seen_at: datetime, now: datetime) -> bool:
    """Whether a session was idle for too long, or lasted too long."""
    return now - seen_at > IDLE or now - created_at > LONGEST


def wait_after(failures: int, free: int = FREE_GUESSES) -> timedelta:
    """How long after the last of so many wrong guesses in a row the next is looked at; it doubles."""
    if failures < free:
        return timedelta()
    wait: timedelta = FIRST_WAIT * 2 ** min(failures - free, 20)
    return min(wait, LONGEST_WAIT)


def subjects(name: str, client: str) -> dict[str, int]:
    """What wrong guesses are counted for, and how many are free: the name, also of nobody, and where they come from."""
    return {hash_secret("name", name.lower()): FREE_GUESSES, hash_secret("client", client): 2 * FREE_GUESSES}
