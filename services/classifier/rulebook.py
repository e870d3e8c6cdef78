"""Rules as data: phrases and RE2 patterns, matched all at once in time linear in the text.

A rule is a TOML table: `id`, `reason`, `phrases` (literal, compared in lower case with single spaces) or `patterns` (RE2
over the same), `example` (a text it must decide), `server` (who forced it), and optionally `priority` (50; the greater
decides), `verdict` (another one than its reason's) and `remote` (it speaks only where the remote or reporting host's name
contains this).
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Final

import re2

from services.classifier.reasons import RANK, REASONS
from shared.contract.vocabulary import Verdict

MAX_SET_MEMORY_BYTES: Final = 64 * 1024 * 1024
EVIDENCE_LIMIT: Final = 200
WEAK_PRIORITY: Final = 25
"""Rules up to here decide only where no code does."""

_ADDRESS: Final = re.compile(r"<?[^\s<>()\[\]\"';:,@]{1,64}@[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,10}>?")


class BadRule(ValueError):
    """A rule file that cannot be used; the text names the file, the rule and the cause."""


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    reason: str
    phrases: tuple[str, ...]
    patterns: tuple[str, ...]
    example: str
    server: str
    priority: int = 50
    verdict: Verdict | None = None
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    rule: Rule
    words: str


@dataclass(slots=True)
class Rulebook:
    """All rules, compiled into one RE2 set."""

    rules: tuple[Rule, ...]
    _set: object = field(init=False)
    _owners: list[tuple[Rule, str]] = field(init=False)
    _compiled: dict[str, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        options = re2.Options()
        options.max_mem = MAX_SET_MEMORY_BYTES
        options.case_sensitive = True
        options.log_errors = False
        compiled = re2.Set.SearchSet(options)
        self._owners = []
        for rule in self.rules:
            for phrase in rule.phrases:
                compiled.Add(re2.escape(phrase))
                self._owners.append((rule, phrase))
            for pattern in rule.patterns:
                compiled.Add(pattern)
                self._owners.append((rule, pattern))
        compiled.Compile()
        self._set = compiled

    def best(self, text: str, host: str = "") -> Match | None:
        """The rule that decides a text already folded by `fold`; greatest priority, then the order of the reasons."""
        hits = self._set.Match(text)  # type: ignore[attr-defined]
        if not hits:
            return None
        rule, pattern = None, ""
        rank = (0, 0)
        for hit in hits:
            candidate, its_pattern = self._owners[hit]
            if candidate.remote and candidate.remote not in host:
                continue
            its_rank = (candidate.priority, -RANK[candidate.reason])
            if rule is None or its_rank > rank:
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
        rules = {self._owners[hit][0].id: self._owners[hit][0] for hit in self._set.Match(text) or ()}  # type: ignore[attr-defined]
        return sorted(rules, key=lambda name: (-rules[name].priority, RANK[rules[name].reason]))


def fold(text: str) -> str:
    """Lower case, single spaces, addresses as a bare @ (their words are nobody's diagnosis)."""
    words = text.lower().replace("’", "'").split()
    if "@" in text:
        words = [_ADDRESS.sub("@", word[:400]) if "@" in word else word for word in words]
    return " ".join(words)


def parse_rules(text: str, name: str) -> list[Rule]:
    """The rules of one TOML file. Raises BadRule."""
    try:
        tables = tomllib.loads(text).get("rule", [])
    except tomllib.TOMLDecodeError as exc:
        raise BadRule(f"{name}: not TOML: {exc}") from exc
    return [_parse_rule(table, name) for table in tables]


def _parse_rule(table: dict[str, object], name: str) -> Rule:
    place = f"{name}: rule {table.get('id', '(without id)')!r}"
    for key in ("id", "reason", "example", "server"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise BadRule(f"{place}: {key} is missing")
    unknown = table.keys() - {
        "id",
        "reason",
        "phrases",
        "patterns",
        "example",
        "server",
        "priority",
        "verdict",
        "remote",
    }
    if unknown:
        raise BadRule(f"{place}: unknown key {min(unknown)!r}")
    if table["reason"] not in REASONS:
        raise BadRule(f"{place}: unknown reason {table['reason']!r}")
    phrases, patterns = _strings(table.get("phrases"), place), _strings(table.get("patterns"), place)
    if not phrases and not patterns:
        raise BadRule(f"{place}: it has neither phrases nor patterns")
    for phrase in phrases:
        if phrase != fold(phrase):
            raise BadRule(
                f"{place}: the phrase {phrase!r} must be in lower case with single spaces, and without addresses"
            )
    for pattern in patterns:
        try:
            re2.compile(pattern)
        except re2.error as exc:
            raise BadRule(f"{place}: the pattern {pattern!r} is not RE2: {exc}") from exc
    priority, verdict = table.get("priority", 50), table.get("verdict")
    if not isinstance(priority, int):
        raise BadRule(f"{place}: priority is no integer")
    if verdict is not None and verdict not in tuple(Verdict):
        raise BadRule(f"{place}: unknown verdict {verdict!r}")
    return Rule(
        id=str(table["id"]),
        reason=str(table["reason"]),
        phrases=phrases,
        patterns=patterns,
        example=str(table["example"]),
        server=str(table["server"]),
        priority=priority,
        verdict=Verdict(str(verdict)) if verdict else None,
        remote=str(table.get("remote", "")),
    )


def _strings(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise BadRule(f"{place}: phrases and patterns are lists of texts")
    return tuple(value)


def build(rules: Iterable[Rule]) -> Rulebook:
    ordered = tuple(rules)
    seen: set[str] = set()
    for rule in ordered:
        if rule.id in seen:
            raise BadRule(f"two rules are called {rule.id!r}")
        seen.add(rule.id)
    return Rulebook(ordered)


@lru_cache(maxsize=1)
def own_rulebook() -> Rulebook:
    """The rules that come with the classifier, compiled once a process."""
    folder = files("services.classifier") / "rules"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return build(rule for name in names for rule in parse_rules((folder / name).read_text(encoding="utf-8"), name))
