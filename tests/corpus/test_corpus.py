"""The classifier over real bounces, against labels that people gave."""

import pytest

from tests.accuracy.scoring import Score, score_folder
from tests.corpus.conftest import CORPUS


@pytest.fixture(scope="module")
def score() -> Score:
    return score_folder(CORPUS)


def test_verdicts_are_right(score: Score) -> None:
    assert score.verdicts_right >= 0.985 * score.messages, score.wrong


def test_the_recipients_are_the_failed_ones(score: Score) -> None:
    assert score.recipients_exact >= 0.985 * score.with_recipients, score.wrong


def test_ordinary_mail_is_no_bounce(score: Score) -> None:
    assert score.ordinary_taken_for_bounces == 0, score.wrong


def test_good_addresses_are_not_silenced(score: Score) -> None:
    assert score.indefensible_hards <= 2, score.wrong
