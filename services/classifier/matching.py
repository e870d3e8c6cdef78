"""The rules asked about the texts of one message: each text once, and a bounded amount of them.

A notice that speaks of a thousand recipients says the same of most of them. Words thrown together by somebody hostile
cost the matcher some microseconds a byte, so what is new is bounded.
"""

from typing import Final

from services.classifier.rule import fold
from services.classifier.rulebook import Match, Rulebook

SCAN_LIMIT: Final = 4_096
BUDGET: Final = 24_576
"""Characters of distinct folded text that are matched for one message."""


class Matcher:
    """Not shared between messages. What is left out is noted in `cuts`."""

    def __init__(self, rulebook: Rulebook, reporting_host: str, cuts: list[str]) -> None:
        self._rulebook: Final = rulebook
        self._reporting_host: Final = reporting_host
        self._cuts: Final = cuts
        self._asked: Final[dict[tuple[str, str], Match | None]] = {}
        self._folded: Final[dict[str, str]] = {}
        self._left = BUDGET
        self.is_exhausted = False
        """Whether the last text asked about was left unread."""

    def fold(self, text: str) -> str:
        """The first 4 KB of a text as rules see it."""
        folded = self._folded.get(text)
        if folded is None:
            folded = self._folded[text] = fold(text[:SCAN_LIMIT])
        return folded

    def best(self, folded: str, remote: str, spoken: str) -> Match | None:
        """The rule that decides a folded text; None where none does, or the budget is used up."""
        key = (folded, remote)
        self.is_exhausted = False
        if key not in self._asked:
            self._left -= len(folded)
            if self._left < 0:
                note = f"words after the first {BUDGET // 1024} KB of diagnostics were not matched"
                if note not in self._cuts:
                    self._cuts.append(note)
                self.is_exhausted = True
                return None
            self._asked[key] = self._rulebook.best(folded, remote, self._reporting_host, spoken)
        return self._asked[key]
