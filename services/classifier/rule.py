"""Rules as data, read and checked: one TOML table a rule.

`id`, `reason`, `server` (who forced it) and `examples` (texts it must decide) are required, and one of
  phrases   literal, over text in lower case with single spaces
  patterns  RE2 over the same; `{name}` stands for any of that list in words.toml
  together  "recipient + unknown": a word of each of these lists stands in one clause
Optional: `priority` (50; the greater decides), `verdict` (another one than its reason's), `remote` and `reporting`
(domains: it speaks only where the remote or the reporting host is in one of them), `veto` (true: where it matches, hard
rules of a priority below 80 are not asked), `counterexamples` (texts it must leave to others).
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Final

import re2

from services.classifier.reasons import REASONS
from shared.contract.vocabulary import Verdict
from shared.errors import ConfigurationError

WORDS_FILE: Final = "words.toml"

_ADDRESS: Final = re.compile(
    r"<?[^\s<>()\[\]\"';:,@]{1,64}@[^\s<>()\[\]\"';:,@.]{1,63}(?:\.[^\s<>()\[\]\"';:,@.]{1,63}){0,10}>?"
)
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DOMAIN: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_TOML_PLACE: Final = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")
_RULE_START: Final = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_WORD: Final = re.compile(r"\{([a-z][a-z_]*)\}")
_LISTS: Final = ("phrases", "patterns", "together", "examples", "counterexamples", "remote", "reporting")
_KEYS: Final = frozenset({"id", "reason", "server", "priority", "verdict", "veto", *_LISTS})


class BadRule(ConfigurationError):
    """Rules that cannot be used; each of `causes` names the file, the line, the rule and the cause."""

    def __init__(self, *causes: str) -> None:
        super().__init__("\n".join(causes))
        self.causes: Final = causes


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    reason: str
    server: str
    examples: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    reporting: tuple[str, ...] = ()
    priority: int = 50
    verdict: Verdict | None = None
    veto: bool = False
    file: str = ""
    line: int = 0
    is_own: bool = False
    """Of the deployment, not shipped with the classifier."""

    @property
    def is_hard(self) -> bool:
        return (self.verdict or REASONS[self.reason].verdict) is Verdict.HARD

    @property
    def is_scoped(self) -> bool:
        return bool(self.remote or self.reporting)

    def speaks_of(self, remote: str, reporting: str) -> bool:
        """Whether it may be asked about a failure that these hosts report (names in lower case, or '')."""
        if not self.is_scoped:
            return True
        return _is_within(remote, self.remote) or _is_within(reporting, self.reporting)


def _is_within(host: str, domains: tuple[str, ...]) -> bool:
    return bool(host) and any(host == domain or host.endswith("." + domain) for domain in domains)


def fold(text: str) -> str:
    """Lower case, single spaces, addresses as a bare @ (their words are nobody's diagnosis)."""
    words = text.lower().replace("’", "'").split()
    if "@" in text:
        words = [_ADDRESS.sub("@", word[:400]) if "@" in word else word for word in words]
    return " ".join(words)


@lru_cache(maxsize=1)
def own_words() -> dict[str, tuple[str, ...]]:
    """The shared lists of words, each word a piece of RE2."""
    text = (files("services.classifier") / "rules" / WORDS_FILE).read_text(encoding="utf-8")
    return {name: tuple(pieces) for name, pieces in tomllib.loads(text)["words"].items()}


def names_of(combination: str) -> tuple[str, ...]:
    """The lists that `together` asks for: ("recipient", "unknown") for "recipient + unknown"."""
    return tuple(name.strip() for name in combination.split("+"))


def parse_rules(text: str, name: str, *, is_own: bool = False) -> list[Rule]:
    """The rules of one TOML file, in order. Raises BadRule that tells every bad one."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = _TOML_PLACE.search(str(exc))
        line = int(found.group(1)) if found and found.group(1) else text.count("\n") + 1
        raise BadRule(f"{name}:{line}: not TOML: {_TOML_PLACE.sub('', str(exc))}") from exc
    except RecursionError as exc:
        raise BadRule(f"{name}: not TOML: nested too deeply") from exc
    tables = document.pop("rule", [])
    if document or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BadRule(f"{name}: it may hold [[rule]] tables only, not {min(document, default='rule')!r}")
    lines = [text.count("\n", 0, found.start()) + 1 for found in _RULE_START.finditer(text)]
    lines += [0] * (len(tables) - len(lines))
    rules: list[Rule] = []
    causes: list[str] = []
    for table, line in zip(tables, lines, strict=False):
        try:
            rule = _parse_rule(table, f"{name}:{line}: rule {table.get('id', '(without id)')!r}")
            rules.append(replace(rule, file=name, line=line, is_own=is_own))
        except BadRule as exc:
            causes += exc.causes
    if causes:
        raise BadRule(*causes)
    return rules


def _parse_rule(table: Mapping[str, object], place: str) -> Rule:
    unknown = table.keys() - _KEYS
    if unknown:
        raise BadRule(f"{place}: unknown key {min(unknown)!r}; known are {', '.join(sorted(_KEYS))}")
    for key in ("id", "reason", "server"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise BadRule(f"{place}: {key} is missing")
    if not _ID.fullmatch(str(table["id"])):  # it is a field of the contract, which has a limit
        raise BadRule(f"{place}: an id is at most 64 small letters, digits, dots and hyphens")
    if table["reason"] not in REASONS:
        raise BadRule(f"{place}: unknown reason {table['reason']!r}; known are {', '.join(REASONS)}")
    lists = {key: _strings(table.get(key), key, place) for key in _LISTS}
    for domain in (*lists["remote"], *lists["reporting"]):
        if not _DOMAIN.fullmatch(domain):
            raise BadRule(f"{place}: {domain!r} is no domain in lower case, such as 'example.com'")
    if not lists["phrases"] and not lists["patterns"] and not lists["together"]:
        raise BadRule(f"{place}: it has neither phrases nor patterns nor together")
    if not lists["examples"]:
        raise BadRule(f"{place}: examples is missing; a rule shows at least one text that it decides")
    for phrase in lists["phrases"]:
        if phrase != fold(phrase):
            raise BadRule(
                f"{place}: the phrase {phrase!r} must be in lower case with single spaces, and without addresses"
            )
    for combination in lists["together"]:
        if strange := [name for name in names_of(combination) if name not in own_words()]:
            raise BadRule(f"{place}: together {combination!r} asks for unknown words {strange[0]!r}")
    lists["patterns"] = tuple(_compilable(pattern, place) for pattern in lists["patterns"])
    priority, verdict = table.get("priority", 50), table.get("verdict")
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise BadRule(f"{place}: priority is no integer")
    if verdict is not None and verdict not in tuple(Verdict):
        raise BadRule(f"{place}: unknown verdict {verdict!r}; known are {', '.join(Verdict)}")
    if not isinstance(table.get("veto", False), bool):
        raise BadRule(f"{place}: veto is true or false")
    return Rule(
        id=str(table["id"]),
        reason=str(table["reason"]),
        server=str(table["server"]),
        priority=priority,
        verdict=Verdict(str(verdict)) if verdict else None,
        veto=bool(table.get("veto", False)),
        examples=lists["examples"],
        phrases=lists["phrases"],
        patterns=lists["patterns"],
        together=lists["together"],
        counterexamples=lists["counterexamples"],
        remote=lists["remote"],
        reporting=lists["reporting"],
    )


def _compilable(pattern: str, place: str) -> str:
    """The pattern with its words filled in. Raises BadRule."""

    def fill(found: re.Match[str]) -> str:
        words = own_words().get(found.group(1))
        if words is None:
            raise BadRule(f"{place}: the pattern {pattern!r} asks for unknown words {found.group(0)}")
        return f"(?:{'|'.join(words)})"

    filled = _WORD.sub(fill, pattern)
    try:
        matches_nothing = re2.compile(filled, _quiet()).search("") is not None
    except re2.error as exc:
        cause = exc.args[0].decode() if exc.args and isinstance(exc.args[0], bytes) else exc
        raise BadRule(f"{place}: the pattern {pattern!r} is not RE2, which has no look-around: {cause}") from exc
    if matches_nothing:
        raise BadRule(f"{place}: the pattern {pattern!r} matches the empty text, and so every reply")
    return filled


def _quiet() -> re2.Options:
    """RE2 that tells its errors to us alone."""
    options = re2.Options()
    options.log_errors = False
    return options


def _strings(value: object, key: str, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise BadRule(f"{place}: {key} is a list of texts")
    return tuple(value)
