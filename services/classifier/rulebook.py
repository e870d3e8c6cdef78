"""All rules, matched at once in time linear in the text."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import re2

from services.classifier.reasons import RANK
from services.classifier.rule import WORDS_FILE, BadRule, Rule, parse_rules

MAX_SET_MEMORY_BYTES: Final = 64 * 1024 * 1024
EVIDENCE_LIMIT: Final = 200
WEAK_PRIORITY: Final = 25
"""Rules up to here decide only where no code does."""


@dataclass(frozen=True, slots=True)
class Match:
    rule: Rule
    words: str


@dataclass(slots=True)
class Rulebook:
    """All rules, compiled into one RE2 set."""

    rules: tuple[Rule, ...]
    _set: object = field(init=False)
    _owners: list[tuple[tuple[int, int], Rule, str]] = field(init=False)
    _compiled: dict[str, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        options = re2.Options()
        options.max_mem = MAX_SET_MEMORY_BYTES
        options.case_sensitive = True
        options.log_errors = False
        compiled = re2.Set.SearchSet(options)
        self._owners = []
        for rule in self.rules:
            rank = (rule.priority, -RANK[rule.reason])
            for phrase in rule.phrases:
                compiled.Add(re2.escape(phrase))
                self._owners.append((rank, rule, phrase))
            for pattern in rule.patterns:
                compiled.Add(pattern)
                self._owners.append((rank, rule, pattern))
        compiled.Compile()
        self._set = compiled

    def best(self, text: str, remote: str = "", reporting: str = "") -> Match | None:
        """The rule that decides a text already folded; greatest priority, then the order of the reasons."""
        hits = self._set.Match(text)  # type: ignore[attr-defined]
        if not hits:
            return None
        rule, pattern = None, ""
        rank = (0, 0)
        for hit in hits:
            its_rank, candidate, its_pattern = self._owners[hit]
            if (rule is None or its_rank > rank) and candidate.speaks_of(remote, reporting):
                rule, pattern, rank = candidate, its_pattern, its_rank
        if rule is None:
            return None
        return Match(rule, pattern[:EVIDENCE_LIMIT] if pattern in text else self._words(pattern, text))

    def _words(self, pattern: str, text: str) -> str:
        compiled = self._compiled.get(pattern)
        if compiled is None:
            compiled = self._compiled[pattern] = re2.compile(pattern)
        found = compiled.search(text)  # type: ignore[attr-defined]
        return str(found.group(0))[:EVIDENCE_LIMIT] if found else ""

    def every(self, text: str) -> list[str]:
        """Ids of all rules that match, best first; for `explain`."""
        rules = {self._owners[hit][1].id: self._owners[hit][1] for hit in self._set.Match(text) or ()}  # type: ignore[attr-defined]
        return sorted(rules, key=lambda name: (-rules[name].priority, RANK[rules[name].reason]))


def build(rules: Iterable[Rule]) -> Rulebook:
    """One rulebook of them all. Raises BadRule where two have one name."""
    ordered = tuple(rules)
    seen: set[str] = set()
    for rule in ordered:
        if rule.id in seen:
            raise BadRule(f"two rules are called {rule.id!r}")
        seen.add(rule.id)
    return Rulebook(ordered)


def read_folder(folder: Traversable) -> list[Rule]:
    """The rules of a folder's TOML files, and of the folders in it, in the order of their names. Raises BadRule."""
    rules: list[Rule] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            rules += read_folder(entry)
        elif entry.name.endswith(".toml") and entry.name != WORDS_FILE:
            rules += parse_rules(entry.read_text(encoding="utf-8"), entry.name)
    return rules


@lru_cache(maxsize=1)
def own_rulebook() -> Rulebook:
    """The rules that come with the classifier, compiled once a process."""
    return build(read_folder(files("services.classifier") / "rules"))
