"""Waiting for a condition, with a deadline; the tests never just sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.03


def eventually(
    condition: Callable[[], T],
    what: str = "",
    *,
    timeout_s: float = 30.0,
    poll_s: float = POLL_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """The first true value of `condition`. Asked at least twice; an AssertionError in it means "not yet".

    Raises AssertionError after `timeout_s`, with `what` was waited for and what the condition gave last.
    """
    not_yet: tuple[type[Exception], ...] = (AssertionError, *ignoring)
    deadline = time.monotonic() + timeout_s
    last_try = False
    while True:
        try:
            value = condition()
            if value:
                return value
            last = repr(value)
        except not_yet as error:
            last = f"{type(error).__name__}: {error}"
        if last_try:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"waited {timeout_s:g} s for {name}; the last answer was {last}")
        time.sleep(poll_s)
        last_try = time.monotonic() >= deadline
