"""Slow-down against the guideline's number, one small plot per guideline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.microbenchmarks.rule import FRAGMENT, UNIT, SuggestedLimit
from latency.microbenchmarks.slowdown import Slowdown, of_table
from space.common.files import replace_file

NUMBERS = {
    1: "G1: 1x1 memory access over its bound (widths 1:1 to 1:12)",
    2: "G2: 1x1 memory access over that without groups (groups: 1, 2, 4, 8)",
    3: "G3: fragments of a block",
    4: "G4: share of element-wise memory access",
}
PAPER, HERE, ALIGNED = "#8a8a8a", "#1f5a91", "#c9701a"
COLORS = (PAPER, HERE, ALIGNED)


def _lines(rows: Sequence[Slowdown]) -> list[tuple[str, list[Slowdown]]]:
    """The label and the rows of each line of a plot. Table 3 has two lines that start at one
    fragment; Table 4 has one line for the ReLU and one for the shortcut."""
    if not rows:
        return []
    first, *others = rows
    if first.table == 3:
        kinds = ("in parallel", "in sequence")
        return [(how, [first, *(r for r in others if how in r.row)]) for how in kinds]
    if first.table == 4:
        *single, both = others
        return [(f"{row.row}, then both", [first, row, both]) for row in single]
    return [("", list(rows))]


def draw_slowdowns(
    path: Path,
    series: Sequence[tuple[str, Sequence[Slowdown]]],
    title: str,
    limits: Sequence[SuggestedLimit] = (),
) -> None:
    """Write a PNG.

    Args:
        series: (name, slow-downs): the paper's, which have all tables; the device's; the device's
            at aligned widths.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(9, 6.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for table, axes in enumerate(figure.subplots(2, 2).flat, 1):
        for (_, found), color in zip(series, COLORS, strict=False):
            for index, (_, rows) in enumerate(_lines(of_table(found, table))):
                ends = [[r.value - r.low for r in rows], [r.high - r.value for r in rows]]
                axes.errorbar(
                    [r.number for r in rows],
                    [r.value for r in rows],
                    yerr=ends,
                    c=color,
                    lw=1.4,
                    capsize=2.5,
                    ms=4.5,
                    marker="os"[index],
                    ls=("-", "--")[index],
                )
        axes.axhline(1, c="black", lw=0.6)
        for limit in limits[table - 1 : table]:
            number = limit.value if table != 3 else (limit.value - UNIT) / FRAGMENT
            if math.isfinite(number):
                axes.axvline(number, c="black", ls=":", lw=1)
        _explain(axes, of_table(series[0][1], table))
    keys = [
        Line2D([], [], c=color, marker="o", ms=4.5, label=name)
        for (name, _), color in zip(series, COLORS, strict=False)
    ]
    if limits:
        keys.append(Line2D([], [], c="black", ls=":", label="limit suggested"))
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


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
    names = {1: [r.row for r in rows], 2: [r.row.partition(" ")[0] for r in rows]}
    for row, name in zip(rows, names.get(table, []), strict=False):
        axes.annotate(
            name,
            (row.number, 0.025),
            xycoords=("data", "axes fraction"),
            fontsize=6.5,
            ha="center",
            color="#444444",
        )
    kinds = [kind for kind, _ in _lines(rows) if kind]
    keys = [
        Line2D([], [], c="#444444", ls=("-", "--")[i], marker="os"[i], ms=4, label=kind)
        for i, kind in enumerate(kinds)
    ]
    if keys:
        axes.legend(handles=keys, loc="best", fontsize=7, frameon=False, handlelength=3.5)
