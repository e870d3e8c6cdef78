"""Plots as SVG, drawn on the server. Pure. They carry no script and no address of another host."""

import sys
import warnings
from collections.abc import Sequence
from typing import Final

from services.ledger.tallies_sql import DayTally

# pygal leaves an importer for its plug-ins behind, of a kind that Python warns of at every later import.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)
    import pygal
    from pygal.style import Style
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

_COLOURS: Final = ("#a61e2e", "#c98a1b", "#5b4b8a", "#9fb0bb")
_STYLE: Final = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#44555f",
    foreground_strong="#1c2b36",
    foreground_subtle="#8b9aa5",
    colors=_COLOURS,
    font_family="sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=14,
    opacity="1",
    opacity_hover="1",
)


def whole_steps(most: int) -> list[int]:
    """Marks from 0 to `most` or a little beyond, about five: mails are counted in whole numbers."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * size
            if most <= 5 * step:
                return list(range(0, max(most, 1) + step, step))
        size *= 10


def days_plot(days: Sequence[DayTally]) -> bytes:
    """A bar a day: hard, soft, unidentified, no bounces."""
    chart = pygal.StackedBar(
        js=[],
        style=_STYLE,
        width=1100,
        height=320,
        legend_at_bottom=True,
        legend_at_bottom_columns=4,
        show_minor_x_labels=False,
        x_labels_major_count=8,
        truncate_legend=-1,
        truncate_label=-1,
        formatter=lambda count: f"{count:,.0f}",
        no_data_text="Nothing came in these days",
        margin=12,
        rounded_bars=1,
        spacing=6,
    )
    chart.x_labels = [f"{one.day:%d %b}" for one in days]
    chart.y_labels = whole_steps(max((one.hard + one.soft + one.unidentified + one.ignored for one in days), default=0))
    chart.add("hard", [one.hard for one in days])
    chart.add("soft", [one.soft for one in days])
    chart.add("unidentified", [one.unidentified for one in days])
    chart.add("no bounces", [one.ignored for one in days])
    return bytes(chart.render())
