"""Whether an account is well."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.watching import Condition, Passes, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LATE = NOW - 5 * HOUR

WELL = Passes(
    account="news",
    is_active=True,
    interval=HOUR,
    since=NOW - 9 * HOUR,
    next_at=NOW + MINUTE,
    succeeded_at=NOW - HOUR,
    tried_at=NOW - HOUR,
    has_failed=False,
    last_error=None,
    is_worked_on=False,
    is_told=False,
)
FAILED = replace(WELL, has_failed=True, last_error="login refused")
NEW = replace(WELL, since=NOW - HOUR, succeeded_at=None, tried_at=None)


@pytest.mark.parametrize(
    ("passes", "condition", "is_alert"),
    [
        pytest.param(WELL, Condition.WELL, False, id="well"),
        pytest.param(replace(WELL, last_error="cannot clean"), Condition.WELL, False, id="an error that ended nothing"),
        pytest.param(replace(WELL, succeeded_at=LATE), Condition.SILENT, True, id="silent"),
        pytest.param(replace(WELL, succeeded_at=NOW - 4 * HOUR), Condition.WELL, False, id="four intervals are borne"),
        pytest.param(FAILED, Condition.FAILING, False, id="one pass has failed"),
        pytest.param(replace(FAILED, succeeded_at=LATE), Condition.FAILING, True, id="failing for too long"),
        pytest.param(
            replace(FAILED, succeeded_at=None, since=NOW), Condition.FAILING, False, id="a new one that fails"
        ),
        pytest.param(NEW, Condition.NEW, False, id="new"),
        pytest.param(replace(NEW, since=LATE), Condition.SILENT, True, id="never fetched"),
        pytest.param(replace(WELL, is_active=False, succeeded_at=LATE), Condition.PAUSED, False, id="paused"),
        pytest.param(replace(WELL, succeeded_at=LATE, since=NOW), Condition.WELL, False, id="after a pause"),
        pytest.param(
            replace(WELL, interval=timedelta(), succeeded_at=LATE), Condition.ON_REQUEST, False, id="only when asked"
        ),
        pytest.param(replace(FAILED, interval=timedelta()), Condition.FAILING, False, id="asked, and failed"),
        pytest.param(replace(WELL, succeeded_at=LATE, is_worked_on=True), Condition.WORKING, False, id="a long pass"),
        pytest.param(
            replace(WELL, succeeded_at=LATE, is_worked_on=True, is_told=True),
            Condition.WORKING,
            True,
            id="told, and tried again",
        ),
        pytest.param(
            replace(WELL, is_worked_on=True, is_told=True), Condition.WORKING, False, id="told, and well again"
        ),
        pytest.param(
            replace(WELL, interval=MINUTE, succeeded_at=NOW - 59 * MINUTE), Condition.WELL, False, id="an hour at least"
        ),
    ],
)
def test_conditions(passes: Passes, condition: Condition, is_alert: bool) -> None:
    assert judge(passes, NOW) == (condition, is_alert)


@pytest.mark.parametrize(("minutes", "is_alert"), [(30, True), (60, False), (90, False)])
def test_a_set_time(minutes: int, is_alert: bool) -> None:
    assert judge(WELL, NOW, minutes * MINUTE)[1] == is_alert
