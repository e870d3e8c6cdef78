"""Patterns with gaps: a text that the pattern matches always holds the piece that is looked for."""

from dataclasses import replace

import pytest
import re2

from services.classifier.gaps import telling_piece
from services.classifier.rulebook import Rulebook, shipped_rules


@pytest.mark.parametrize(
    ("pattern", "piece"),
    [
        ("quota exceeded", "quota exceeded"),
        (r"\bquota\b[^.;]*exceed", r"\bquota\b"),
        (r"(reject|refus|block)[^;]{0,40}\bspam\b", r"\bspam\b"),
        (r"full.*?(sender|from)?", "full"),
        (r"user (?:[^ ]+ )?unknown", r"user (?:[^ ]+ )?unknown"),
        ("quota[^.]*exceed|full", "quota[^.]*exceed|full"),
        (r"spam\.*[(.*][^)]*\(x", r"spam\.*[(.*]"),
        ("(?i)QUOTA[^.]*exceed", "(?i)QUOTA[^.]*exceed"),
        (r"\Qa.*b\E[^;]*c", r"\Qa.*b\E[^;]*c"),
        ("[[:alpha:](]b[^;]*c", "[[:alpha:](]b[^;]*c"),
    ],
)
def test_the_piece_is_what_few_texts_hold(pattern: str, piece: str) -> None:
    assert telling_piece(pattern) == piece


@pytest.mark.parametrize(
    ("pattern", "text", "other"),
    [
        (r"\bquota\b[^.;]*exceed", "the quota was exceeded", "the quota. it was exceeded"),
        ("^from[^;]*(blocked|banned)$", "from there: banned", "banned from there"),
        ("(?i)QUOTA[^.]*exceed", "quota exceeded", "quota"),
        (r"\Qa.*b\E[^;]*c", "a.*b and c", "a and b and c"),
        ("[[:alpha:](]b[^;]*c", "(b and c", "(b; c"),
    ],
)
def test_a_pattern_with_a_gap_matches_as_a_whole(pattern: str, text: str, other: str) -> None:
    rulebook = Rulebook((replace(shipped_rules()[0], phrases=(), together=(), patterns=(pattern,)),))
    assert rulebook.every(text)
    assert not rulebook.every(other)


def test_no_example_of_a_shipped_pattern_is_without_its_piece() -> None:
    for rule in shipped_rules():
        for pattern in rule.patterns:
            for example in (*rule.examples, *rule.counterexamples):
                text = example.lower()
                assert re2.search(pattern, text) is None or re2.search(telling_piece(pattern), text), (pattern, text)
