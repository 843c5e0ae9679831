"""Slow-down against the guideline's number, one small plot per guideline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.microbenchmarks.rule import FRAGMENT, UNIT
from latency.microbenchmarks.slowdown import Slowdown, of_table
from space.common.files import replace_file
from space.cost.guidelines import Guidelines

NUMBERS = {
    1: "G1: 1x1 memory access over its bound (widths 1:1 to 1:12)",
    2: "G2: 1x1 memory access over that without groups (groups: 1, 2, 4, 8)",
    3: "G3: fragments of a block",
    4: "G4: share of element-wise memory access",
}
COLORS = ("#8a8a8a", "#1f5a91", "#c9701a")  # the paper, the device, its aligned widths
STYLES = ({"marker": "o", "ls": "-"}, {"marker": "s", "ls": "--"})


def _lines(rows: Sequence[Slowdown]) -> list[tuple[str, list[Slowdown]]]:
    """The label and the rows of each line of a plot. Table 3 has two lines that start at one
    fragment; Table 4 has one line for the ReLU and one for the shortcut."""
    if rows and rows[0].table == 3:
        kinds = ("in parallel", "in sequence")
        return [(how, [rows[0], *(r for r in rows[1:] if how in r.row)]) for how in kinds]
    if rows and rows[0].table == 4:
        first, *single, both = rows
        return [(f"{row.row}, then both", [first, row, both]) for row in single]
    return [("", list(rows))] if rows else []


def draw_slowdowns(
    path: Path,
    series: Sequence[tuple[str, Sequence[Slowdown]]],
    limits: Guidelines | None = None,
) -> None:
    """Write a PNG.

    Args:
        series: (name, slow-downs): the paper's, which have all tables; the device's; the device's
            at aligned widths.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib import rc_context

    # A device's name may have dollars, which are no formula.
    with rc_context({"text.parse_math": False}), replace_file(path) as temporary:
        figure = _figure(series, limits)
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _figure(series: Sequence[tuple[str, Sequence[Slowdown]]], limits: Guidelines | None) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(9, 6.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for table, axes in enumerate(figure.subplots(2, 2).flat, 1):
        for (_, found), color in zip(series, COLORS, strict=False):
            for index, (_, rows) in enumerate(_lines(of_table(found, table))):
                ends = [[r.value - r.low for r in rows], [r.high - r.value for r in rows]]
                numbers, values = [r.number for r in rows], [r.value for r in rows]
                style: Any = {"c": color, "lw": 1.4, "ms": 4.5, **STYLES[index]}
                axes.errorbar(numbers, values, yerr=ends, capsize=2.5, **style)
        axes.axhline(1, c="black", lw=0.6)
        number = math.inf if limits is None else float(getattr(limits, f"g{table}"))
        if math.isfinite(number):
            fragments = (number - UNIT) / FRAGMENT
            axes.axvline(fragments if table == 3 else number, c="black", ls=":", lw=1)
        _explain(axes, of_table(series[0][1], table))
    keys = [
        Line2D([], [], c=color, marker="o", ms=4.5, label=name)
        for (name, _), color in zip(series, COLORS, strict=False)
    ]
    if limits:
        keys.append(Line2D([], [], c="black", ls=":", label="limit suggested"))
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle("Slow-down when a guideline is broken", fontsize=10)
    return figure


def _explain(axes: Any, rows: Sequence[Slowdown]) -> None:
    """Axis labels, the rows' names along the bottom, and the key of the line styles."""
    from matplotlib.lines import Line2D

    table = rows[0].table
    axes.set_xlabel(NUMBERS[table], fontsize=8)
    axes.set_ylabel("time per FLOP, relative", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.2)
    axes.margins(x=0.07)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high)  # room for the names
    if table == 3:
        axes.set_xticks([1, 2, 4])
    at: Any = {"xycoords": ("data", "axes fraction"), "ha": "center"}
    for row in rows if table < 3 else ():
        name = row.row.partition(" ")[0]
        axes.annotate(name, (row.number, 0.025), fontsize=6.5, color="#444444", **at)
    kinds = [kind for kind, _ in _lines(rows)]
    if any(kinds):
        keys = [
            Line2D([], [], c="#444444", ms=4, label=kind, **style)  # type: ignore[arg-type]
            for kind, style in zip(kinds, STYLES, strict=True)
        ]
        axes.legend(handles=keys, loc="best", fontsize=7, frameon=False, handlelength=3.5)
