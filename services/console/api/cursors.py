"""Where the next page begins, as one word that nobody needs to understand. Pure."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import orjson

from shared.errors import ConfigurationError

Row = TypeVar("Row")


def cut(found: Sequence[Row], size: int, key: Callable[[Row], Sequence[str]]) -> tuple[Sequence[Row], str | None]:
    """The rows of a page, of those that were read with one more than it holds, and its `next`."""
    rows = found[:size]
    if len(found) <= size:
        return rows, None
    return rows, base64.urlsafe_b64encode(orjson.dumps(list(key(rows[-1])))).decode().rstrip("=")


def read(after: str, parts: int) -> tuple[str, ...] | None:
    """The key that a page begins after; None for the first. Raises ConfigurationError for what no page gave."""
    if not after:
        return None
    try:
        key = orjson.loads(base64.urlsafe_b64decode(after.encode() + b"=" * (-len(after) % 4)))
    except (binascii.Error, ValueError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != parts
        or not all(isinstance(part, str) and "\0" not in part for part in key)
    ):
        raise ConfigurationError("after is what `next` of the page before was, or nothing")
    return tuple(key)


def read_moment(after: str) -> tuple[datetime, str] | None:
    """The same for a key of a moment and a name."""
    key = read(after, 2)
    if key is None:
        return None
    try:
        return datetime.fromisoformat(key[0]).astimezone(UTC), key[1]
    except (ValueError, OverflowError) as exc:
        raise ConfigurationError("after is what `next` of the page before was, or nothing") from exc
