"""The form in which every part reports."""

import gc
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from time import perf_counter, process_time
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table


class Bound(StrEnum):
    """What a goal bounds."""

    LEAST_RATIO = "least ratio"
    LEAST_VALUE = "least value"
    MOST_VALUE = "most value"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / floor; `met` is None where no goal is set."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    goal: float | None = None
    bound: Bound | None = None
    """What `goal` bounds; None: the ratio, or without a floor the value, at least."""

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.floor, 3) if self.floor else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        if self.bound == Bound.MOST_VALUE:
            return self.value <= self.goal
        if self.bound == Bound.LEAST_VALUE or self.ratio is None:
            return self.value >= self.goal
        return self.ratio >= self.goal


class Work(Protocol):
    """One round of work; how many units it did."""

    def __call__(self) -> int: ...


def rate(work: Work, rounds: int = 5) -> float:
    """Units a second: the median of so many rounds, after one that is not counted."""
    return race({"": work}, rounds, clock=perf_counter)[""]


def race(
    works: Mapping[str, Work],
    rounds: int = 5,
    clock: Callable[[], float] = process_time,
    before_each: Callable[[], object] = gc.collect,
) -> dict[str, float]:
    """Units a second of each, in rounds that take turns, so that what else the machine does hits all alike.

    The median of the rounds, after one that is not counted. By default in seconds of this process on a core.
    """
    rates: dict[str, list[float]] = {name: [] for name in works}
    order = list(works)
    for number in range(rounds + 1):
        for name in order:
            before_each()
            began = clock()
            units = works[name]()
            if number:
                rates[name].append(units / (clock() - began))
        order.reverse()
    return {name: round(median(found), 1) for name, found in rates.items()}


def pin_to_one_core() -> None:
    """This process and its children stay on one core; says so where the system cannot do that."""
    try:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    except (AttributeError, OSError) as exc:
        print(f"not pinned to one core: {exc}", file=sys.stderr)


def report(part: str, rows: list[Row]) -> None:
    """A table for people, then one JSON object as the last line."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "value", "unit", "floor", "ratio", "goal", "met"):
        table.add_column(column, justify="left" if column in ("", "unit", "met") else "right")
    for row in rows:
        table.add_row(
            row.name,
            _number(row.value),
            row.unit,
            _number(row.floor) if row.floor else "-",
            f"{row.ratio:.2f}" if row.ratio is not None else "-",
            f"{'≤ ' if row.bound == Bound.MOST_VALUE else ''}{row.goal:g}" if row.goal is not None else "-",
            {None: "-", True: "yes", False: "NO"}[row.met],
        )
    Console(width=140).print(table)
    result = {
        "part": part,
        "machine": machine(),
        "rows": [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
    }
    print(orjson.dumps(result).decode())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """What the figures were measured on. `pinned_to` is the one core, or None."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {
        "cores": os.cpu_count(),
        "pinned_to": cores[0] if len(cores) == 1 else None,
        "architecture": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "python": platform.python_version(),
    }
