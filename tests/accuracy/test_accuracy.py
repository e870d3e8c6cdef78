"""Mails and replies that somebody wrote who had not seen the rules (written/, second/), so that rules stay general."""

from pathlib import Path

import pytest

from tests.accuracy.replies import REPLIES, Replies, score_replies
from tests.accuracy.scoring import Score, score_folder

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["written", "second"])
def folder(request: pytest.FixtureRequest) -> Path:
    return HERE / str(request.param)


@pytest.fixture(scope="module")
def mails(folder: Path) -> Score:
    return score_folder(folder)


@pytest.fixture(scope="module")
def replies(folder: Path) -> Replies:
    return score_replies(folder / REPLIES)


def test_verdicts_are_right(mails: Score) -> None:
    assert mails.verdicts_right >= 0.98 * mails.messages, mails.wrong


def test_the_recipients_are_the_failed_ones(mails: Score) -> None:
    assert mails.recipients_exact >= 0.99 * mails.with_recipients, mails.wrong


def test_ordinary_mail_is_no_bounce(mails: Score) -> None:
    assert mails.ordinary_taken_for_bounces == 0, mails.wrong


def test_no_bounce_is_missed(mails: Score) -> None:
    assert mails.bounces_missed <= 1, mails.wrong


def test_good_addresses_are_not_silenced(mails: Score, replies: Replies) -> None:
    assert mails.false_hards <= 1, mails.wrong
    assert replies.false_hards <= 1, replies.wrong


def test_replies_are_understood(replies: Replies) -> None:
    assert replies.verdicts_right >= 0.98 * replies.replies, replies.wrong
    assert replies.hards_found >= 0.975 * replies.hards, replies.wrong
