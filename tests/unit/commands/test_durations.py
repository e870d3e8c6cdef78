"""Times in words."""

from datetime import UTC, datetime, timedelta

import pytest

from services.commands.durations import in_words, since, until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (5_400, "90 minutes"),
        (7_199, "119 minutes"),
        (7_200, "2 hours"),
        (86_400, "24 hours"),
        (172_800, "2 days"),
        (86_400 * 1_234, "1,234 days"),
    ],
)
def test_durations(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


def test_times() -> None:
    assert since(None, NOW) == "never"
    assert since(NOW, NOW) == since(NOW + timedelta(days=3), NOW) == "just now"
    assert since(NOW - timedelta(hours=3), NOW) == "3 hours ago"
    assert until(None, NOW) == ""
    assert until(NOW - timedelta(hours=3), NOW) == until(NOW, NOW) == "now"
    assert until(NOW + timedelta(hours=3), NOW) == "in 3 hours"
