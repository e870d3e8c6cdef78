"""Reports of one failed send become one event; outcomes of one recipient become one report."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from services.ledger.fold import Report, fold_events, merge_outcomes, severity_of
from services.ledger.policy import Event, Severity
from tests.property.ledger_model import outcome

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def at(days: float) -> datetime:
    return T0 + timedelta(days=days)


def report(raw_id: str, severity: Severity, days: float, event_id: str = "send", reason: str | None = None) -> Report:
    return Report(raw_id, event_id, severity, at(days), reason or f"{severity.name} of {raw_id}")


def fold(*reports: Report) -> list[Event]:
    orders = [fold_events(order) for order in itertools.permutations(reports)]
    by_id = [sorted(events, key=lambda event: (event.event_id, event.severity)) for events in orders]
    assert all(events == by_id[0] for events in by_id)
    return by_id[0]


def test_soft_that_turns_hard_is_one_hard_event_since_the_hard_report() -> None:
    events = fold(report("a", Severity.SOFT, 1), report("b", Severity.HARD, 3), report("c", Severity.SOFT, 2))
    assert events == [Event("send", Severity.HARD, at(3), "HARD of b")]


def test_hard_before_soft_stays_hard() -> None:
    events = fold(report("a", Severity.HARD, 1), report("b", Severity.SOFT, 2))
    assert events == [Event("send", Severity.HARD, at(1), "HARD of a")]


def test_delayed_before_failed() -> None:
    delays = [report(f"d{day}", Severity.DELAYED, day) for day in range(3)]
    assert fold(*delays) == [Event("send", Severity.DELAYED, at(0), "DELAYED of d0")]
    assert fold(*delays, report("z", Severity.SOFT, 5)) == [Event("send", Severity.SOFT, at(5), "SOFT of z")]


def test_the_same_send_told_by_two_mails_is_one_event_of_the_earlier() -> None:
    events = fold(report("b", Severity.SOFT, 1), report("a", Severity.SOFT, 2))
    assert events == [Event("send", Severity.SOFT, at(1), "SOFT of b")]


def test_of_two_at_the_same_moment_the_mail_decides() -> None:
    events = fold(report("b", Severity.SOFT, 1), report("a", Severity.SOFT, 1))
    assert events == [Event("send", Severity.SOFT, at(1), "SOFT of a")]


def test_a_complaint_neither_hides_a_failure_nor_is_hidden() -> None:
    events = fold(report("a", Severity.COMPLAINT, 1), report("b", Severity.UNIDENTIFIED, 2))
    assert [event.severity for event in events] == [Severity.COMPLAINT, Severity.UNIDENTIFIED]


def test_other_sends_are_other_events() -> None:
    assert len(fold(report("a", Severity.SOFT, 1, "one"), report("b", Severity.SOFT, 1, "two"))) == 2


@pytest.mark.parametrize(
    ("verdict", "action", "severity"),
    [
        ("hard", "failed", Severity.HARD),
        ("hard", "delayed", Severity.HARD),
        ("soft", "failed", Severity.SOFT),
        ("soft", None, Severity.SOFT),
        ("soft", "delayed", Severity.DELAYED),
        ("unidentified", "delayed", Severity.UNIDENTIFIED),
        ("complaint", None, Severity.COMPLAINT),
    ],
)
def test_severities(verdict: str, action: str | None, severity: Severity) -> None:
    assert severity_of(verdict, action) == severity


class TestMerging:
    @pytest.mark.parametrize(
        ("said", "worst"),
        [
            (["soft", "hard", "unidentified"], "hard"),
            (["unidentified", "soft"], "soft"),
            (["complaint", "unidentified"], "unidentified"),
        ],
    )
    def test_the_worst_of_a_recipient_stays(self, said: list[str], worst: str) -> None:
        for order in itertools.permutations(said):
            merged = merge_outcomes([outcome("ann@example.com", one) for one in order])
            assert {recipient: one["verdict"] for recipient, one in merged.items()} == {"ann@example.com": worst}

    def test_a_failure_is_worse_than_a_delay(self) -> None:
        delay, failure = outcome("a@b.c", "soft", action="delayed"), outcome("a@b.c", "soft", action="failed")
        assert merge_outcomes([delay, failure]) == merge_outcomes([failure, delay]) == {"a@b.c": failure}

    def test_of_equals_the_order_does_not_decide(self) -> None:
        both = [outcome("a@b.c", rule=rule, evidence=text) for rule, text in (("x", "2"), ("x", "1"), ("w", "3"))]
        assert {merge_outcomes(order)["a@b.c"]["evidence"] for order in itertools.permutations(both)} == {"2"}

    def test_one_that_names_nobody_is_kept_under_the_empty_name(self) -> None:
        assert list(merge_outcomes([outcome(None), outcome("a@b.c")])) == ["", "a@b.c"]
