"""A link that logs one person in, once: for whoever started the console on their own machine."""

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

GOOD_FOR_S: Final = 600.0


class OneTimeLink:
    """Good for ten minutes. Only this process knows it."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: Final = name
        self._is_used = False
        self._clock = clock
        self._until = clock() + GOOD_FOR_S
        self._lock = threading.Lock()
        self.token: Final = secrets.token_urlsafe(32)

    def use(self, token: str) -> str | None:
        """The person's name, the first time; None for another token, and ever after."""
        with self._lock:
            is_good = self._clock() < self._until and hmac.compare_digest(
                token.encode(errors="replace"), self.token.encode()
            )
            if not is_good or self._is_used:
                return None
            self._is_used = True
            return self.name
