"""What counts of an address, and why the rest does not."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ledger.fold import Report, fold_events
from services.ledger.history import Delivered, Happening, explain_events
from services.ledger.policy import Mark, Policy, Severity, Standing, judge_address

T0 = datetime(2026, 3, 1, tzinfo=UTC)
FREE = (Delivered(None, None, True),)
HELD = (Delivered("run-1", "held", False),)
DROPPED = (Delivered("run-2", "dropped", False),)
APPLIED = (Delivered("run-3", "applied", True),)


def at(days: float) -> datetime:
    return T0 + timedelta(days=days)


def report(name: str, severity: Severity, days: float = 1, event: str | None = None) -> Report:
    return Report(name, event or f"send {name}", severity, at(days), f"reason {name}")


def explain(
    *reports: Report,
    ways: dict[str, tuple[Delivered, ...]] | None = None,
    policy: Policy = Policy(),  # noqa: B008 (frozen)
    released: float | None = None,
) -> list[Happening]:
    mark = None if released is None else Mark("released", at(released), at(released))
    delivered = {one.raw_id: (ways or {}).get(one.raw_id, FREE) for one in reports}
    counted = [one for one in reports if any(way.counts for way in delivered[one.raw_id])]
    standing = judge_address(fold_events(counted), policy, mark)
    return explain_events(reports, delivered, policy, mark, standing)


@pytest.mark.parametrize(
    ("severity", "why_not"),
    [
        (Severity.HARD, None),
        (Severity.SOFT, None),
        (Severity.DELAYED, "delayed"),
        (Severity.UNIDENTIFIED, "unidentified"),
        (Severity.COMPLAINT, "a complaint"),
    ],
)
def test_classes(severity: Severity, why_not: str | None) -> None:
    (one,) = explain(report("1", severity))
    assert one.severity == severity
    assert (one.why_not or "none").startswith(why_not or "none")


@pytest.mark.parametrize(
    ("ways", "why_not"),
    [
        (HELD, "held for review: run run-1"),
        (DROPPED, "dropped: run run-2"),
        (HELD + DROPPED, "held for review: run run-1"),
        (APPLIED, None),
        (HELD + FREE, None),
        ((), "it was never delivered"),
    ],
)
def test_ways(ways: tuple[Delivered, ...], why_not: str | None) -> None:
    (one,) = explain(report("1", Severity.HARD), ways={"1": ways})
    assert one.why_not == why_not
    assert one.decided is (why_not is None)


def test_of_an_event_only_what_was_delivered_is_folded() -> None:
    (one,) = explain(report("1", Severity.HARD, 1, "send"), report("2", Severity.SOFT, 2, "send"), ways={"1": HELD})
    assert (one.severity, one.at, one.reason, one.deciding) == (Severity.SOFT, at(2), "reason 2", "2")
    assert one.raw_ids == ("2", "1")


@pytest.mark.parametrize(("days", "counts"), [(1, False), (3, False), (3.1, True)])
def test_released(days: float, counts: bool) -> None:
    (one,) = explain(report("1", Severity.HARD, days), released=3)
    assert (one.why_not is None) is counts
    assert counts or "released before" in (one.why_not or "")


def test_the_earliest_report_of_the_class_decides_when_it_was() -> None:
    same = [report("b", Severity.HARD, 2, "send"), report("a", Severity.HARD, 2, "send")]
    (one,) = explain(report("c", Severity.SOFT, 1, "send"), report("d", Severity.HARD, 4, "send"), *same, released=3)
    assert (one.at, one.deciding) == (at(2), "a")
    assert one.why_not is not None


def test_a_complaint_about_a_send_is_no_part_of_it() -> None:
    bounce, complaint = explain(report("1", Severity.HARD, 1, "send"), report("2", Severity.COMPLAINT, 2, "send"))
    assert (bounce.decided, complaint.decided) == (True, False)
    alone = explain(
        report("1", Severity.SOFT, 1, "send"),
        report("2", Severity.COMPLAINT, 2, "send"),
        policy=Policy(complaint_suppresses=True),
    )
    assert [(one.decided, one.why_not) for one in alone] == [(False, None), (True, None)]


def test_the_fifth_soft_bounce_decided_and_the_order_is_of_time() -> None:
    found = explain(*(report(str(9 - n), Severity.SOFT, 9 - n) for n in range(7)))
    assert [one.at for one in found] == [at(n) for n in range(3, 10)]
    assert [one.decided for one in found] == [False] * 4 + [True] + [False] * 2


def test_nothing() -> None:
    assert explain_events([], {}, Policy(), None, Standing()) == []
