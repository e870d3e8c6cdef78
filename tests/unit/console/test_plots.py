"""Plots: what stands beside the bars."""

import pytest

from services.console.plots import whole_steps


@pytest.mark.parametrize(
    ("most", "marks"),
    [
        (0, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (25, [0, 5, 10, 15, 20, 25]),
        (26, [0, 10, 20, 30]),
        (1_000_000, [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]),
    ],
)
def test_marks_are_whole_and_few(most: int, marks: list[int]) -> None:
    steps = whole_steps(most)
    assert steps[: len(marks)] == marks
    assert steps[-1] >= most
    assert len(steps) <= 7
