"""A server that hung is left alone for a while, then tried by one."""

import pytest

from shared.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(5, clock)


def test_a_server_that_answers_is_asked_again_and_again(breaker: Breaker) -> None:
    for _ in range(3):
        assert breaker.allows()
        breaker.succeeded()


def test_one_that_hung_is_left_alone_for_a_while(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.allows()


def test_then_one_tries_it_and_the_others_go_on_waiting(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_a_trial_that_fails_begins_a_new_pause(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    clock.now += 1
    breaker.failed()
    clock.now += 4.9
    assert not breaker.allows()


def test_a_trial_of_which_nothing_was_heard_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    clock.now += 5
    assert breaker.allows()
