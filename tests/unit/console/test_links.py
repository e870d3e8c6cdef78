"""A link logs one person in, once, for ten minutes."""

import pytest

from services.console.links import GOOD_FOR_S, OneTimeLink


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_is_used_once() -> None:
    link = OneTimeLink("jane")
    assert link.use(link.token) == "jane"
    assert link.use(link.token) is None


@pytest.mark.parametrize("other", ["", "x", "ünï", "\udcff", "a" * 10_000])
def test_another_does_not_use_it_up(other: str) -> None:
    link = OneTimeLink("jane")
    assert link.use(other) is None
    assert link.use(link.token) == "jane"


@pytest.mark.parametrize(("passed_s", "name"), [(GOOD_FOR_S - 1, "jane"), (GOOD_FOR_S, None)])
def test_it_grows_old(passed_s: float, name: str | None) -> None:
    clock = Clock()
    link = OneTimeLink("jane", clock)
    clock.now += passed_s
    assert link.use(link.token) == name
