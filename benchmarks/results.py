"""The form in which every part reports."""

import os
import platform
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is value / floor; `met` is None where no goal is set."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    goal: float | None = None
    """The least ratio, or without a floor the least value."""

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.floor, 3) if self.floor else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return (self.ratio if self.ratio is not None else self.value) >= self.goal


class Work(Protocol):
    """One round of work; how many units it did."""

    def __call__(self) -> int: ...


def rate(work: Work, rounds: int = 5) -> float:
    """Units a second: the median of so many rounds, after one that is not counted."""
    work()
    rates = []
    for _ in range(rounds):
        began = perf_counter()
        units = work()
        rates.append(units / (perf_counter() - began))
    return round(median(rates), 1)


def report(part: str, rows: list[Row]) -> None:
    """A table for people, then one JSON object as the last line."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "value", "unit", "floor", "ratio", "goal", "met"):
        table.add_column(column, justify="left" if column in ("", "unit", "met") else "right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.value:,.0f}",
            row.unit,
            f"{row.floor:,.0f}" if row.floor else "-",
            f"{row.ratio:.2f}" if row.ratio is not None else "-",
            f"{row.goal:g}" if row.goal is not None else "-",
            {None: "-", True: "yes", False: "NO"}[row.met],
        )
    Console(width=140).print(table)
    result = {
        "part": part,
        "machine": machine(),
        "rows": [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
    }
    print(orjson.dumps(result).decode())


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "python": platform.python_version(),
    }
