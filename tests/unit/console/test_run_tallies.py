"""A count that took long is shown for a while; a quick one is as good as new."""

from services.console.run_tallies import SHARE, RunTallies
from services.scheduler.passes_sql import Tally


class World:
    """Counting takes `takes_s`, and finds one more each time."""

    def __init__(self, takes_s: float) -> None:
        self.now, self.takes_s, self.counted = 0.0, takes_s, 0

    def count(self, _run_id: str) -> Tally:
        self.now += self.takes_s
        self.counted += 1
        return Tally(hard=self.counted)


def test_it_is_counted_anew_when_its_time_is_over() -> None:
    world = World(takes_s=0.2)
    tallies = RunTallies(world.count, lambda: world.now)
    assert [tallies.of("a").hard, tallies.of("a").hard, tallies.of("b").hard] == [1, 1, 2]
    world.now = 0.2 + 0.2 * SHARE
    assert tallies.of("a").hard == 3


def test_it_forgets() -> None:
    world = World(takes_s=0.0001)
    tallies = RunTallies(world.count, lambda: world.now)
    for number in range(1000):
        tallies.of(str(number))
    assert len(tallies._kept) <= 200
