"""All rules, matched at once in time linear in the text."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, Generic, TypeVar

import re2

from services.classifier.gaps import telling_piece
from services.classifier.hosts import find_host
from services.classifier.reasons import RANK
from services.classifier.rule import WORDS_FILE, BadRule, Rule, names_of, own_words, parse_rules

MAX_SET_MEMORY_BYTES: Final = 64 * 1024 * 1024
EVIDENCE_LIMIT: Final = 200
CLAUSES_LIMIT: Final = 64
KNOWN_LIMIT: Final = 2_048
KNOWN_LIMIT_CHARACTERS: Final = 1_024
"""Replies remembered by a rulebook, and how long one of them may be."""
WEAK_PRIORITY: Final = 25
"""Rules up to here decide only where no code does."""
VETO_LIMIT: Final = 80
"""Hard rules below this are silent where a veto of these hosts matches: a false hard silences a good address."""

_SYNTAX: Final = re.compile(r"[\[(*+?|^$]|\\[bdws]")
# A full stop within a host name or a code ends no clause, nor does the colon behind an address.
_CLAUSE_END: Final = re.compile(r"[.;!?:。；！？，](?:(?<=[。；！？，])|(?<![@>]:)(?=[ \"')\]]|$))")


Owner = TypeVar("Owner")


@dataclass(slots=True)
class Match:
    rule: Rule
    words: str


class _Form(IntEnum):
    """How an entry is written; of entries that say the same, the plainest is shown as evidence."""

    TOGETHER = 0
    GAPPED = 1
    PATTERN = 2
    LITERAL = 3


_Rank = tuple[int, bool, int, _Form]


def _form_of(pattern: str) -> _Form:
    return _Form.PATTERN if _SYNTAX.search(pattern) else _Form.LITERAL


@dataclass(slots=True)
class _Entry:
    """One phrase, pattern or combination of words; the greatest rank decides, at equal priority a deployment's own."""

    rule: Rule
    text: str
    form: _Form
    is_pattern: bool = False
    rank: _Rank = field(init=False)
    is_scoped: bool = field(init=False)
    is_vetoed: bool = field(init=False)
    gapped: "_Set[None] | None" = None
    """The whole of a pattern of which a piece is looked for."""
    _compiled: Any = None

    def __post_init__(self) -> None:
        self.rank = (self.rule.priority, self.rule.is_own, -RANK[self.rule.reason], self.form)
        self.is_scoped = self.rule.is_scoped
        self.is_vetoed = self.rule.is_hard and self.rule.priority < VETO_LIMIT
        if self.form is _Form.GAPPED:
            self.gapped = _Set([(self.text, None)])

    def holds(self, text: str) -> bool:
        """Whether a text that holds its piece matches as a whole."""
        return self.gapped is None or bool(self.gapped.find(text))

    def words(self, text: str) -> str:
        """What it matched."""
        if not self.is_pattern:
            return self.text[:EVIDENCE_LIMIT]
        if self._compiled is None:
            self._compiled = re2.compile(self.text.encode())
        found = self._compiled.search(text.encode("utf-8", "replace"))
        return str(found.group(0).decode("utf-8", "replace"))[:EVIDENCE_LIMIT] if found else ""


@dataclass(frozen=True, slots=True)
class _Together:
    """A combination of word lists that one clause must hold, each list a bit of `names`."""

    entry: _Entry
    names: int


class _Set(Generic[Owner]):
    """Patterns with their owners, looked for in one pass."""

    def __init__(self, pieces: Sequence[tuple[str, Owner]]) -> None:
        options = re2.Options()
        options.max_mem = MAX_SET_MEMORY_BYTES
        options.log_errors = False
        self._set: Final = re2.Set.SearchSet(options)
        self._owners: Final = [owner for _, owner in pieces]
        for pattern, _ in pieces:
            self._set.Add(pattern)
        try:
            self._set.Compile()
        except re2.error as exc:
            raise BadRule(f"the rules are too many, or too large, to be matched together: {exc}") from exc

    def find(self, text: str) -> list[Owner]:
        """The owners of the patterns that the text holds."""
        return [self._owners[hit] for hit in self._set.Match(text) or ()]


class Rulebook:
    """All rules, compiled into one RE2 set; the lists of words that they share are in it once."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules: Final = rules
        combinations = [(rule, combination) for rule in rules for combination in rule.together]
        bits = {
            name: 1 << number
            for number, name in enumerate(sorted({name for _, text in combinations for name in names_of(text)}))
        }
        self._combinations: Final = [
            _Together(_Entry(rule, text, _Form.TOGETHER), sum(bits[name] for name in set(names_of(text))))
            for rule, text in combinations
        ]
        self._undisputed: Final = max([VETO_LIMIT, *(rule.priority + 1 for rule, _ in combinations)])
        """Rules from here on need not ask for combinations: none outranks them, and none vetoes them."""
        words = [(piece, bit) for name, bit in bits.items() for piece in own_words()[name]]
        self._words: Final = _Set(words)
        pieces: list[tuple[str, _Entry | int]] = [*words]
        for rule in rules:
            for phrase in rule.phrases:
                piece = re2.escape(phrase)
                pieces.append((piece, _Entry(rule, phrase, _form_of(piece))))
            for pattern in rule.patterns:
                piece = telling_piece(pattern)
                form = _form_of(piece) if piece == pattern else _Form.GAPPED
                pieces.append((piece, _Entry(rule, pattern, form, is_pattern=True)))
        self._pieces: Final = _Set(pieces)
        self._find_known: Final = lru_cache(maxsize=KNOWN_LIMIT)(self._find)
        """Servers say the same to thousands."""

    def forget(self) -> None:
        """Empty the memory of replies, so that a measurement begins like the first mail."""
        self._find_known.cache_clear()

    def best(self, text: str, remote: str = "", reporting: str = "", spoken: str = "") -> Match | None:
        """The rule that decides a text already folded; greatest priority, then the order of the reasons.

        `remote` and `reporting` are host names; where `remote` is not known, the first rule that asks for it has it
        looked for in `spoken`, the text before it was folded.
        """
        found = self._find_known(text) if len(text) <= KNOWN_LIMIT_CHARACTERS else self._find(text)
        host = remote
        is_vetoed: bool | None = None
        for entry, clause in found:
            if entry.is_vetoed:
                if is_vetoed is None:
                    is_vetoed = _is_vetoed(found, text, remote, reporting)
                if is_vetoed:
                    continue
            if entry.is_scoped:
                if not host and spoken:
                    host, spoken = find_host(spoken), ""
                if not entry.rule.speaks_of(host, reporting):
                    continue
            if entry.holds(text):
                return Match(entry.rule, clause[:EVIDENCE_LIMIT] or entry.words(text))
        return None

    def every(self, text: str) -> list[Match]:
        """All rules that match, best first, hosts and vetoes aside; for people."""
        matches: dict[str, Match] = {}
        for entry, words in self._find(text):
            if entry.rule.id not in matches and entry.holds(text):
                matches[entry.rule.id] = Match(entry.rule, words or entry.words(text))
        return list(matches.values())

    def _find(self, text: str) -> list[tuple[_Entry, str]]:
        """All entries that match, best first, combinations with their clause; of a pattern with a gap only a piece."""
        found: list[tuple[_Entry, str]] = []
        names = 0
        for entry in self._pieces.find(text):
            if isinstance(entry, int):
                names |= entry
            else:
                found.append((entry, ""))
        if names & (names - 1):
            is_decided = any(
                entry.rule.priority >= self._undisputed and not entry.is_scoped and entry.holds(text)
                for entry, _ in found
            )
            possible = [each for each in self._combinations if each.names & names == each.names]
            if possible and not is_decided:
                found += self._find_together(text, possible)
        found.sort(key=_rank_of, reverse=True)
        return found

    def _find_together(self, text: str, possible: list[_Together]) -> Iterator[tuple[_Entry, str]]:
        for clause in _CLAUSE_END.split(text, CLAUSES_LIMIT):
            names = 0
            for bit in self._words.find(clause):
                names |= bit
            if names & (names - 1):
                yield from ((each.entry, clause.strip()) for each in possible if each.names & names == each.names)


def _rank_of(found: tuple[_Entry, str]) -> _Rank:
    return found[0].rank


def _is_vetoed(found: list[tuple[_Entry, str]], text: str, remote: str, reporting: str) -> bool:
    return any(entry.rule.veto and entry.rule.speaks_of(remote, reporting) and entry.holds(text) for entry, _ in found)


def build(rules: Iterable[Rule]) -> Rulebook:
    """One rulebook of them all; a deployment's rule takes the place of a shipped one of its name.

    Raises BadRule where two of the same origin have one name.
    """
    chosen: dict[str, Rule] = {}
    twice: list[str] = []
    for rule in rules:
        other = chosen.get(rule.id)
        if other is not None and other.is_own == rule.is_own:
            twice.append(
                f"{rule.file}:{rule.line}: rule {rule.id!r}: {other.file}:{other.line} has a rule of that name, too"
            )
        elif other is None or rule.is_own:
            chosen[rule.id] = rule
    if twice:
        raise BadRule(*twice)
    return Rulebook(tuple(chosen.values()))


def read_folder(folder: Traversable) -> dict[str, str]:
    """The texts of a folder's TOML files, and of the folders in it, by their names, in order.

    What begins with a dot is left out: an editor's copy, or the other side of a mounted ConfigMap's links.
    """
    texts: dict[str, str] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            texts |= {f"{entry.name}/{name}": text for name, text in read_folder(entry).items()}
        elif entry.name.endswith(".toml") and entry.name != WORDS_FILE:
            texts[entry.name] = entry.read_text(encoding="utf-8")
    return texts


def parse_all(texts: Mapping[str, str], *, is_own: bool = False) -> list[Rule]:
    """The rules of several files. Raises BadRule that tells every bad one of every file."""
    rules: list[Rule] = []
    causes: list[str] = []
    for name, text in texts.items():
        try:
            rules += parse_rules(text, name, is_own=is_own)
        except BadRule as exc:
            causes += exc.causes
    if causes:
        raise BadRule(*causes)
    return rules


@lru_cache(maxsize=1)
def own_rulebook() -> Rulebook:
    """The rules that come with the classifier, compiled once a process."""
    return build(shipped_rules())


@lru_cache(maxsize=1)
def shipped_rules() -> tuple[Rule, ...]:
    """The rules that come with the classifier."""
    return tuple(parse_all(read_folder(files("services.classifier") / "rules")))


def with_deployment(texts: Mapping[str, str]) -> Rulebook:
    """The shipped rules and a deployment's own, given as the texts of its files. Raises BadRule."""
    return build((*shipped_rules(), *parse_all(texts, is_own=True))) if texts else own_rulebook()
