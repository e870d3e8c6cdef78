"""Rules proved by the examples that they bring with them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.classifier.reasons import REASONS
from services.classifier.rule import Rule, fold
from services.classifier.rulebook import VETO_LIMIT, Match, Rulebook
from shared.contract.vocabulary import Verdict


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that its rule does not decide, or a counterexample that it does; `decided` is the rule that did."""

    rule: Rule
    example: str
    decided: Match | None
    is_counterexample: bool = False
    advice: str = ""
    """What to do about it."""


def prove(rule: Rule, rulebook: Rulebook) -> Iterator[Failure]:
    """Judge a rule's examples by all rules, as if the first of its hosts had answered."""
    for example in rule.examples:
        decided = _decide(rule, example, rulebook)
        if decided is None or decided.rule.id != rule.id:
            hosts = "".join(rule.remote[:1]), "".join(rule.reporting[:1])
            yield Failure(rule, example, decided, advice=advise(rule, fold(example), rulebook, *hosts))
    for example in rule.counterexamples:
        decided = _decide(rule, example, rulebook)
        if decided is not None and decided.rule.id == rule.id:
            yield Failure(rule, example, decided, is_counterexample=True)


def advise(rule: Rule, text: str, rulebook: Rulebook, remote: str = "", reporting: str = "") -> str:
    """What keeps a rule from deciding a text already folded, and what to do about it; '' when it decides."""
    decided = rulebook.best(text, remote, reporting)
    if decided is not None and decided.rule.id == rule.id:
        return ""
    if not rule.speaks_of(remote, reporting):
        side, domains = ("remote", rule.remote) if rule.remote else ("reporting", rule.reporting)
        return f"{rule.id} speaks of {', '.join(domains)} only: try it with --{side} {domains[0]}"
    if not Rulebook((replace(rule, veto=False),)).every(text):
        return f"its words are not in {text!r}"
    causes: list[str] = []
    needed = rule.priority
    vetoes = [match.rule for match in rulebook.every(text) if match.rule.veto]
    veto = next((veto for veto in vetoes if veto.speaks_of(remote, reporting)), None)
    if veto is not None and rule.is_hard and rule.priority < VETO_LIMIT:
        causes.append(f"{veto.id} is a veto: it silences hard rules below priority {VETO_LIMIT}")
        needed = VETO_LIMIT
    if decided is not None:
        other = decided.rule
        causes.append(f"{other.id} (priority {other.priority}) outranks {rule.id} (priority {rule.priority})")
        needed = max(needed, other.priority if rule.is_own and not other.is_own else other.priority + 1)
    return f"{'; '.join(causes)}: give {rule.id} priority = {needed} or more, if its words leave no doubt"


def changed_examples(shipped: Rulebook, rulebook: Rulebook) -> Iterator[Failure]:
    """Examples of shipped rules that a deployment's rules give another reason or verdict."""
    for rule in shipped.rules:
        for example in (*rule.examples, *rule.counterexamples):
            decided = _decide(rule, example, rulebook)
            if _decision(decided) != _decision(_decide(rule, example, shipped)):
                yield Failure(rule, example, decided)


def _decision(match: Match | None) -> tuple[str, Verdict] | None:
    return (match.rule.reason, match.rule.verdict or REASONS[match.rule.reason].verdict) if match else None


def _decide(rule: Rule, example: str, rulebook: Rulebook) -> Match | None:
    return rulebook.best(fold(example), "".join(rule.remote[:1]), "".join(rule.reporting[:1]))
