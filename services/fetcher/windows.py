"""Which mails are asked for together: one round trip for a window, and little to read again when it breaks."""

from collections.abc import Iterable
from typing import Final

from services.fetcher.ports import Listed
from shared.identity import READ_LIMIT_BYTES

WINDOW_MAILS: Final = 50
WINDOW_BYTES: Final = 256 * 1024
"""By the sizes in the listing. A window is 26 s at 10 KB/s: a lease is renewed between two of them."""


class Windows:
    """Mails in their order, a window at a time. A mail that is larger than a window is one of its own."""

    def __init__(self, mails: Iterable[Listed]) -> None:
        self._mails = iter(mails)
        self._next = next(self._mails, None)

    @property
    def is_empty(self) -> bool:
        """No mail is left."""
        return self._next is None

    def take(self, most: int = WINDOW_MAILS) -> list[Listed]:
        """At least one mail, as long as there is any."""
        taken: list[Listed] = []
        size_bytes = 0
        while self._next is not None and len(taken) < max(1, min(most, WINDOW_MAILS)):
            size_bytes += min(self._next.size_bytes, READ_LIMIT_BYTES)
            if taken and size_bytes > WINDOW_BYTES:
                break
            taken.append(self._next)
            self._next = next(self._mails, None)
        return taken
