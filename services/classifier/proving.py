"""Rules proved by the examples that they bring with them."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.classifier.reasons import REASONS
from services.classifier.rule import Rule, fold
from services.classifier.rulebook import Match, Rulebook
from shared.contract.vocabulary import Verdict


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that its rule does not decide, or a counterexample that it does; `decided` is the rule that did."""

    rule: Rule
    example: str
    decided: Match | None
    is_counterexample: bool = False


def prove(rule: Rule, rulebook: Rulebook) -> Iterator[Failure]:
    """Judge a rule's examples by all rules, as if the first of its hosts had answered."""
    for example in rule.examples:
        decided = _decide(rule, example, rulebook)
        if decided is None or decided.rule.id != rule.id:
            yield Failure(rule, example, decided)
    for example in rule.counterexamples:
        decided = _decide(rule, example, rulebook)
        if decided is not None and decided.rule.id == rule.id:
            yield Failure(rule, example, decided, is_counterexample=True)


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
