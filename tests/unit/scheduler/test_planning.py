"""When an account is asked for."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.planning import (
    FIRST_WITHIN,
    Change,
    Known,
    Progress,
    Schedule,
    first_time,
    next_time,
    patience,
    phase,
    plan,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
INTERVALS = [timedelta(seconds=1), MINUTE, 15 * MINUTE, HOUR, 7 * HOUR, DAY, 30 * DAY]
NAMES = [f"account-{number}" for number in range(1_000)]

ASKED = Schedule("news", HOUR, NOW - DAY, NOW - HOUR, NOW, NOW - HOUR, "old-run", 1)
"""Asked for an hour ago, and due again."""


def planned(known: Known, now: datetime = NOW) -> Change | None:
    return plan(known, now, lambda: "new-run")


class TestSpread:
    def test_a_place_is_always_the_same(self) -> None:
        assert phase("news") == phase("news") != phase("shop")
        assert 0 <= min(map(phase, NAMES)) < max(map(phase, NAMES)) < 1

    @pytest.mark.parametrize("interval", [15 * MINUTE, HOUR, DAY])
    def test_a_thousand_accounts_with_one_interval_do_not_come_at_once(self, interval: timedelta) -> None:
        for times in (
            [first_time(name, min(interval, FIRST_WITHIN), NOW) - NOW for name in NAMES],
            [(next_time(name, interval, NOW) - NOW) % interval for name in NAMES],
        ):
            span = FIRST_WITHIN if max(times) < FIRST_WITHIN else interval
            tenths = Counter(time * 10 // span for time in times)
            assert set(tenths) == set(range(10))
            assert max(tenths.values()) < 150, "fifteen in a hundred, of which an even spread has ten"

    @pytest.mark.parametrize("interval", INTERVALS)
    def test_a_new_account_is_asked_for_within_minutes(self, interval: timedelta) -> None:
        for name in NAMES[:50]:
            assert NOW <= first_time(name, interval, NOW) < NOW + min(interval, FIRST_WITHIN)

    @pytest.mark.parametrize("interval", INTERVALS)
    def test_the_next_time_is_its_place_in_the_interval(self, interval: timedelta) -> None:
        for name in NAMES[:50]:
            following = next_time(name, interval, NOW)
            assert NOW + interval / 2 <= following < NOW + 1.5 * interval
            assert next_time(name, interval, following) - following == interval, "and stays there"
            assert next_time(name, interval, following + 0.4 * interval) - following == interval, "also when late"


@pytest.mark.parametrize(
    ("interval", "puts", "waits"),
    [
        (HOUR, 1, 2 * HOUR),
        (HOUR, 2, 4 * HOUR),
        (HOUR, 3, 8 * HOUR),
        (HOUR, 5, DAY),
        (HOUR, 10_000, DAY),
        (HOUR, 0, 2 * HOUR),
        (MINUTE, 1, 2 * MINUTE),
        (7 * DAY, 1, 14 * DAY),
        (7 * DAY, 9, 14 * DAY),
    ],
)
def test_patience_with_a_request(interval: timedelta, puts: int, waits: timedelta) -> None:
    assert patience(interval, puts) == waits


def test_a_day_without_fetchers_leaves_few_requests() -> None:
    known = Known("news", 5 * MINUTE, replace(ASKED, interval=5 * MINUTE, requested_at=NOW - 5 * MINUTE))
    requests = 0
    for minutes in range(24 * 60):
        change = planned(known, NOW + minutes * MINUTE)
        if change is not None:
            requests += 1
            known = replace(known, schedule=change.after)
    assert requests <= 9


@pytest.mark.parametrize(
    ("known", "asks"),
    [
        pytest.param(Known("news", HOUR, ASKED, Progress.ENDED), True, id="its run has ended"),
        pytest.param(Known("news", HOUR, replace(ASKED, next_at=NOW + MINUTE), Progress.ENDED), False, id="not yet"),
        pytest.param(
            Known("news", HOUR, Schedule("news", HOUR, NOW, NOW, NOW)),
            True,
            id="never asked for, and its first time has come",
        ),
        pytest.param(Known("news", HOUR, ASKED), False, id="pending"),
        pytest.param(
            Known("news", HOUR, replace(ASKED, requested_at=NOW - 2 * HOUR + timedelta(seconds=1))),
            False,
            id="pending for nearly two intervals",
        ),
        pytest.param(Known("news", HOUR, replace(ASKED, requested_at=NOW - 2 * HOUR)), True, id="for two intervals"),
        pytest.param(
            Known("news", HOUR, replace(ASKED, requested_at=NOW - 3 * HOUR, puts=2)),
            False,
            id="put again an interval ago",
        ),
        pytest.param(Known("news", HOUR, ASKED, Progress.BEGUN), False, id="begun"),
        pytest.param(
            Known("news", HOUR, replace(ASKED, requested_at=NOW - 2 * HOUR, puts=5), Progress.BEGUN),
            True,
            id="begun, and not ended within two intervals",
        ),
        pytest.param(
            Known("news", HOUR, replace(ASKED, requested_at=NOW - 9 * HOUR), Progress.BEGUN, NOW + MINUTE),
            False,
            id="a fetcher is in the mailbox",
        ),
        pytest.param(Known("news", HOUR, ASKED, Progress.ENDED, NOW - MINUTE), True, id="a lease that is over"),
        pytest.param(
            Known("news", HOUR, ASKED, Progress.ENDED, NOW + HOUR), True, id="a lease of a clock that is an hour ahead"
        ),
    ],
)
def test_who_is_asked_for(known: Known, asks: bool) -> None:
    change = planned(known)
    assert (change is not None) == asks
    if change is not None:
        assert change.is_request
        assert change.before == known.schedule
        assert (change.after.requested_at, change.after.run_id) == (NOW, "new-run")
        assert change.after.next_at == next_time("news", HOUR, NOW)


@pytest.mark.parametrize(
    ("progress", "before", "after"),
    [(Progress.NOT_BEGUN, 1, 2), (Progress.NOT_BEGUN, 7, 8), (Progress.BEGUN, 7, 1), (Progress.ENDED, 7, 1)],
)
def test_how_often_it_was_put(progress: Progress, before: int, after: int) -> None:
    schedule = replace(ASKED, requested_at=NOW - 3 * DAY, puts=before)
    change = planned(Known("news", HOUR, schedule, progress))
    assert change is not None
    assert change.after.puts == after


class TestPlansThatAreMended:
    def test_a_new_account_is_planned_first(self) -> None:
        change = planned(Known("news", DAY))
        assert change == Change(None, Schedule("news", DAY, NOW, NOW, first_time("news", DAY, NOW)))

    @pytest.mark.parametrize("asked_at", [None, NOW - 6 * HOUR])
    def test_a_shorter_interval_holds_at_once(self, asked_at: datetime | None) -> None:
        far = replace(ASKED, interval=DAY, next_at=NOW + 12 * HOUR, requested_at=asked_at)
        change = planned(Known("news", HOUR, far, Progress.ENDED))
        assert change is not None
        assert not change.is_request
        assert change.after.next_at == first_time("news", HOUR, NOW)
        assert change.after.interval == HOUR

    def test_a_longer_interval_holds_at_once(self) -> None:
        change = planned(Known("news", DAY, ASKED, Progress.ENDED))
        assert change is not None
        assert not change.is_request
        assert change.after.next_at == next_time("news", DAY, NOW - HOUR) > NOW + 10 * HOUR

    def test_the_clock_was_three_days_ahead(self) -> None:
        then = NOW + 3 * DAY
        ahead = Schedule("news", HOUR, then, then, then + HOUR, then, "run", 1)
        change = planned(Known("news", HOUR, ahead, Progress.ENDED))
        assert change is not None
        assert change.after.next_at <= NOW + 1.5 * HOUR
        assert (change.after.requested_at, change.after.since, change.after.run_id) == (NOW, NOW, "run")
        assert planned(Known("news", HOUR, change.after, Progress.ENDED)) is None, "once"
        again = planned(Known("news", HOUR, change.after), NOW + 2 * HOUR)
        assert again is not None
        assert again.is_request, "a request that was lost meanwhile is put again"

    def test_the_clock_was_three_days_behind(self) -> None:
        change = planned(Known("news", HOUR, ASKED, Progress.ENDED), NOW + 3 * DAY)
        assert change is not None
        assert change.is_request
        assert change.after.next_at > NOW + 3 * DAY, "what was missed is asked for once"

    @pytest.mark.parametrize("interval", INTERVALS)
    def test_every_plan_is_stable(self, interval: timedelta) -> None:
        for name in NAMES[:50]:
            known = Known(name, interval)
            for _ in range(3):
                change = planned(known)
                if change is None:
                    break
                known = replace(known, schedule=change.after, progress=Progress.ENDED)
            assert planned(known) is None
