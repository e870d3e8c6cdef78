"""What the classifier's handler needs from the world."""

from collections.abc import Sequence
from typing import Any, Protocol


class LethalMail(Exception):
    """A mail that ends the process that judges it, or keeps it busy beyond its time; the text says which."""


class Judges(Protocol):
    """Whoever judges mails, safely."""

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        """For each mail, in order, its judgement as the contract's fields, or why it cannot have one."""
