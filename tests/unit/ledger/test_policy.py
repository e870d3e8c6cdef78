"""When an address counts as bounced."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from services.ledger.policy import Event, Mark, Policy, Severity, Standing, State, judge_address

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DEFAULT = Policy()


def at(days: float) -> datetime:
    return T0 + timedelta(days=days)


def event(days: float, severity: Severity = Severity.SOFT, reason: str | None = None) -> Event:
    return Event(f"{severity.name} {days}", severity, at(days), reason or severity.name.lower())


def softs(count: int) -> list[Event]:
    return [event(day) for day in range(1, count + 1)]


def released(days: float) -> Mark:
    return Mark("released", at(days), at(days))


def test_nothing_reported() -> None:
    assert judge_address([], DEFAULT) == Standing()


@pytest.mark.parametrize("count", [1, 4])
def test_fewer_soft_bounces_than_five_are_counted_and_nothing_more(count: int) -> None:
    assert judge_address(softs(count), DEFAULT) == Standing(State.OK, count)


@pytest.mark.parametrize("count", [5, 6, 50])
def test_the_fifth_decides_however_many_follow(count: int) -> None:
    assert judge_address(softs(count), DEFAULT) == Standing(State.BOUNCED, count, False, "soft", at(5), "SOFT 5")


def test_a_hard_bounce_decides_at_once() -> None:
    assert judge_address([event(3, Severity.HARD)], DEFAULT) == Standing(
        State.BOUNCED, 0, True, "hard", at(3), "HARD 3"
    )


@pytest.mark.parametrize("severity", [Severity.DELAYED, Severity.UNIDENTIFIED, Severity.COMPLAINT])
def test_nothing_else_counts_however_often(severity: Severity) -> None:
    assert judge_address([event(day, severity) for day in range(20)], DEFAULT) == Standing()


@pytest.mark.parametrize(("hard_on", "since"), [(2.5, 2.5), (9, 5)])
def test_what_came_first_of_both_decides(hard_on: float, since: float) -> None:
    standing = judge_address([event(hard_on, Severity.HARD), *softs(6)], DEFAULT)
    assert (standing.state, standing.soft, standing.hard, standing.since) == (State.BOUNCED, 6, True, at(since))


def test_the_order_in_which_they_are_given_is_none() -> None:
    events = [*softs(4), event(2.5, Severity.HARD), event(2.7, Severity.COMPLAINT)]
    assert len({judge_address(order, DEFAULT, released(1.5)) for order in itertools.permutations(events)}) == 1


def test_of_two_at_the_same_moment_the_id_decides() -> None:
    same = [Event(name, Severity.HARD, T0, name) for name in ("b", "a")]
    assert judge_address(same, DEFAULT).event_id == judge_address(same[::-1], DEFAULT).event_id == "a"


@pytest.mark.parametrize(("limit", "state"), [(1, State.BOUNCED), (3, State.BOUNCED), (4, State.OK)])
def test_another_limit(limit: int, state: State) -> None:
    assert judge_address(softs(3), Policy(soft_limit=limit)).state == state


class TestComplaints:
    policy = Policy(complaint_suppresses=True)

    def test_one_suppresses_where_the_policy_says_so(self) -> None:
        standing = judge_address([event(2, Severity.COMPLAINT), event(1)], self.policy)
        assert standing == Standing(State.SUPPRESSED, 1, False, "complaint", at(2), "COMPLAINT 2")

    def test_a_bounce_before_it_decides(self) -> None:
        events = [event(2, Severity.COMPLAINT), event(1, Severity.HARD)]
        assert judge_address(events, self.policy).state == State.BOUNCED

    def test_one_before_a_release_does_not(self) -> None:
        assert judge_address([event(2, Severity.COMPLAINT)], self.policy, released(2)) == Standing()


class TestReleased:
    def test_older_reports_count_for_nothing(self) -> None:
        assert judge_address([*softs(9), event(3, Severity.HARD)], DEFAULT, released(9)) == Standing()

    def test_one_of_the_very_moment_is_older(self) -> None:
        assert judge_address([event(3, Severity.HARD)], DEFAULT, released(3)) == Standing()

    def test_a_newer_one_counts(self) -> None:
        standing = judge_address([event(2, Severity.HARD), event(4, Severity.HARD)], DEFAULT, released(3))
        assert (standing.state, standing.since) == (State.BOUNCED, at(4))

    def test_soft_ones_begin_anew(self) -> None:
        assert judge_address(softs(7), DEFAULT, released(3)) == Standing(State.OK, 4)
        assert judge_address(softs(8), DEFAULT, released(3)).since == at(8)


class TestSuppressedByHand:
    def test_it_needs_no_report(self) -> None:
        standing = judge_address([], DEFAULT, Mark("suppressed", at(1), None))
        assert standing == Standing(State.SUPPRESSED, 0, False, "suppressed-by-hand", at(1))

    def test_it_outweighs_reports_which_are_counted_still(self) -> None:
        standing = judge_address([event(2, Severity.HARD), event(3)], DEFAULT, Mark("suppressed", at(1), None))
        assert (standing.state, standing.soft, standing.hard, standing.event_id) == (State.SUPPRESSED, 1, True, None)

    def test_an_earlier_release_still_holds_for_what_was_before_it(self) -> None:
        standing = judge_address(softs(9), DEFAULT, Mark("suppressed", at(9), at(8)))
        assert (standing.state, standing.soft) == (State.SUPPRESSED, 1)
