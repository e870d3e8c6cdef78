"""All rules, matched at once in time linear in the text."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

import re2

from services.classifier.hosts import find_host
from services.classifier.reasons import RANK
from services.classifier.rule import WORDS_FILE, BadRule, Rule, parse_rules

MAX_SET_MEMORY_BYTES: Final = 64 * 1024 * 1024
EVIDENCE_LIMIT: Final = 200
WEAK_PRIORITY: Final = 25
"""Rules up to here decide only where no code does."""
VETO_LIMIT: Final = 80
"""Hard rules below this are silent where a veto matches: a false hard silences a good address."""


@dataclass(slots=True)
class Match:
    rule: Rule
    words: str


@dataclass(slots=True)
class _Entry:
    """One phrase or pattern in the set; the greatest rank decides."""

    rank: tuple[int, int]
    rule: Rule
    text: str
    is_pattern: bool
    is_scoped: bool
    is_vetoed: bool
    _compiled: Any = None

    def words(self, text: str) -> str:
        """What it matched."""
        if not self.is_pattern:
            return self.text[:EVIDENCE_LIMIT]
        if self._compiled is None:
            self._compiled = re2.compile(self.text.encode())
        found = self._compiled.search(text.encode("utf-8", "replace"))
        return str(found.group(0).decode("utf-8", "replace"))[:EVIDENCE_LIMIT] if found else ""


@dataclass(slots=True)
class Rulebook:
    """All rules, compiled into one RE2 set."""

    rules: tuple[Rule, ...]
    _set: object = field(init=False)
    _entries: list["_Entry"] = field(init=False)

    def __post_init__(self) -> None:
        options = re2.Options()
        options.max_mem = MAX_SET_MEMORY_BYTES
        options.case_sensitive = True
        options.log_errors = False
        compiled = re2.Set.SearchSet(options)
        self._entries = []
        for rule in self.rules:
            rank = (rule.priority, -RANK[rule.reason])
            is_vetoed = rule.is_hard and rule.priority < VETO_LIMIT
            pieces = [(phrase, False) for phrase in rule.phrases] + [(pattern, True) for pattern in rule.patterns]
            for text, is_pattern in pieces:
                compiled.Add(text if is_pattern else re2.escape(text))
                self._entries.append(_Entry(rank, rule, text, is_pattern, rule.is_scoped, is_vetoed))
        compiled.Compile()
        self._set = compiled

    def best(self, text: str, remote: str = "", reporting: str = "", spoken: str = "") -> Match | None:
        """The rule that decides a text already folded; greatest priority, then the order of the reasons.

        `remote` and `reporting` are host names; where `remote` is not known, the first rule that asks for it has it
        looked for in `spoken`, the text before it was folded.
        """
        hits = self._set.Match(text)  # type: ignore[attr-defined]
        if not hits:
            return None
        entries = [self._entries[hit] for hit in hits]
        if any(entry.is_vetoed for entry in entries) and any(entry.rule.veto for entry in entries):
            entries = [entry for entry in entries if not entry.is_vetoed]
        best: _Entry | None = None
        for entry in entries:
            if best is not None and entry.rank <= best.rank:
                continue
            if entry.is_scoped:
                if not remote and spoken:
                    remote, spoken = find_host(spoken), ""
                if not entry.rule.speaks_of(remote, reporting):
                    continue
            best = entry
        return Match(best.rule, best.words(text)) if best else None

    def every(self, text: str) -> list[str]:
        """Ids of all rules that match, best first; for `explain`."""
        rules = {self._entries[hit].rule.id: self._entries[hit].rule for hit in self._set.Match(text) or ()}  # type: ignore[attr-defined]
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
