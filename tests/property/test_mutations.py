"""Whatever an accident makes of a mail, its verdict keeps the contract, and comes within a second."""

import pytest

from shared.wire import read_verdict
from tests.property.judging import Classifier
from tests.property.mutations import mutants

QUICK = 500
BATCH = 1_000
BATCHES = 20
MOST_S = 1.0


def assert_all_are_judged(seed: int, number: int) -> None:
    """A failure names the seed and the place of the mail: `list(mutants(seed, number))[place]`."""
    classifier = Classifier()
    for place, raw in enumerate(mutants(seed, number)):
        try:
            read_verdict(classifier.verdict(raw or b"\n"))  # an empty mail is no raw bounce
        except Exception as exc:
            exc.add_note(f"mutant {place} of seed {seed}")
            raise
        slowest_s = classifier.judges.slowest_s
        assert slowest_s <= MOST_S, f"mutant {place} of seed {seed} took {slowest_s:.2f} s"


def test_some_mutants() -> None:
    assert_all_are_judged(0, QUICK)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, BATCHES + 1))
def test_many_mutants(seed: int) -> None:
    """20,000 in all."""
    assert_all_are_judged(seed, BATCH)


def test_a_seed_gives_the_same_mutants() -> None:
    assert list(mutants(0, 50)) == list(mutants(0, 50))
