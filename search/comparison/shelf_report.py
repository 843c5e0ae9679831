"""Networks off the shelf for people: a table, and top-1 against latency as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.comparison.shelf import PublishedRow, ShelfComparison
from search.problem.budget import scaled
from search.result.picture import new_figure, wrapped
from search.result.shelf_times import FAMILIES, family_name
from space.common.text import columns

HEADINGS = ("network", "FLOPs", "params", "latency", "images/s", "top-1", "", "weights", "recipe")
FRONT = "front"
# Of the families in turn; as 9 and 7 have no common factor, no two look alike.
COLORS = (
    "#1f5a91", "#c44e00", "#0b7a3b", "#8a4fa3", "#b59f00", "#c2185b", "#00838f", "#5d4037",
    "#555555",
)  # fmt: skip
MARKERS = "osD^vPX"
SIZE, FONT = (11.0, 7.5), 6.5  # inches, points
# Where a label may stand: offsets from its point in points, and how it is aligned there.
PLACES = (
    (5, 3, "left"), (5, -8, "left"), (-5, 3, "right"), (-5, -8, "right"), (0, 7, "center"),
    (0, -13, "center"), (5, 10, "left"), (-5, 10, "right"), (5, -16, "left"), (-5, -16, "right"),
    (12, -2, "left"), (-12, -2, "right"),
)  # fmt: skip
Box = tuple[float, float, float, float]


def print_published(comparison: ShelfComparison) -> None:
    """Print a row per network, fastest first, with the front marked."""
    cells = []
    for row in comparison.rows:
        known = row.latency_s is not None
        cells.append((
            row.name,
            scaled(row.flops, "flops"),
            scaled(row.params, "params"),
            scaled(row.latency_s or 0, "latency_s") if known else "-",
            f"{comparison.batch / (row.latency_s or 1):.1f}" if known else "-",
            f"{row.top1:.1f} %",
            FRONT if row.front else "",
            row.weights,
            row.recipe,
        ))  # fmt: skip
    lines = [*columns(HEADINGS, cells, left=(0, 6, 7, 8)), "", comparison.line]
    timed = [row for row in comparison.rows if row.whole]
    if timed and len(timed) < len([row for row in comparison.rows if row.latency_s is not None]):
        names = ", ".join(row.name for row in timed)
        lines.append(f"run whole on this machine, at the table's speed of it: {names}")
    without = [row for row in comparison.rows if row.latency_s is None]
    if without:
        lines.append(
            f"latency -: {len(without)} of {len(comparison.rows)} networks; {comparison.why}"
        )
    lines.append(
        "top-1: ImageNet, published for these weights; front: no other is as fast and as accurate"
    )
    print("\n".join(lines))


def draw_shelf(path: Path, comparison: ShelfComparison) -> None:
    """Write a PNG: published top-1 against latency, a color and a marker for each family, every
    point labelled, and the front.

    Raises:
        OSError: `path` cannot be written.
    """
    rows = [row for row in comparison.rows if row.latency_s is not None]
    batch = "" if comparison.batch == 1 else f" of {comparison.batch}"
    with new_figure(path, SIZE) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        line = comparison.front
        axes.step(
            [_ms(row) for row in line], [row.top1 for row in line], where="post", c="#999999",
            lw=1.2, zorder=1, label="front",
        )  # fmt: skip
        for family in dict.fromkeys(family_name(row.name) for row in rows):
            own = [row for row in rows if family_name(row.name) == family]
            color, marker = _look(family)
            axes.plot(
                [_ms(row) for row in own], [row.top1 for row in own], marker, c=color, ms=6,
                ls="", mec="white", mew=0.5, label=family,
            )  # fmt: skip
        axes.margins(x=0.06, y=0.06)
        axes.set_ylabel("published top-1 on ImageNet in %")
        axes.set_xlabel(f"latency{batch} in ms\n{wrapped(comparison.line, 130)}", fontsize=8)
        title = f"{comparison.target}: networks off the shelf ({comparison.kind} latency)"
        axes.set_title(wrapped(title, 90), fontsize=10)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(_minor)
        axes.tick_params(which="both", labelsize=8)
        axes.grid(alpha=0.25, which="both")
        axes.legend(fontsize=7, ncols=2, loc="lower right", framealpha=0.9, edgecolor="none")
        figure.draw_without_rendering()  # the places of points and legend are then known
        _label(axes, rows)


def _minor(value: float, _: float) -> str:
    """A label for 2, 3 and 5 times a power of ten."""
    return f"{value:g}" if f"{value:e}"[0] in "235" else ""


def _ms(row: PublishedRow) -> float:
    assert row.latency_s is not None, "only rows with a latency are drawn"
    return row.latency_s * 1e3


def _look(family: str) -> tuple[str, str]:
    """The color and the marker of a family, the same on every target."""
    index = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    return COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]


def _label(axes: Any, rows: Sequence[PublishedRow]) -> None:
    """Write the name beside each point, inside the axes, where it covers least of the points and
    names so far; those of the front first, in bold."""
    scale = axes.figure.dpi / 72
    points = {row.name: axes.transData.transform((_ms(row), row.top1)) for row in rows}
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in points.values()]
    legend = axes.get_legend().get_window_extent()
    taken.append((legend.x0, legend.y0, legend.x1, legend.y1))
    inside = axes.get_window_extent()
    within = inside.x0, inside.y0, inside.x1, inside.y1
    for row in sorted(rows, key=lambda row: not row.front):
        x, y = points[row.name]
        width, height = 0.62 * FONT * scale * len(row.name), 1.1 * FONT * scale
        boxes = []
        for right, up, side in PLACES:
            at = x + right * scale - {"left": 0.0, "center": 0.5, "right": 1.0}[side] * width
            boxes.append((at, y + up * scale, at + width, y + up * scale + height))
        outside = [width * height - _common(box, within) for box in boxes]
        covered = [
            out + sum(_common(box, other) for other in taken)
            for box, out in zip(boxes, outside, strict=True)
        ]
        best = covered.index(min(covered))
        taken.append(boxes[best])
        right, up, side = PLACES[best]
        axes.annotate(
            row.name, (_ms(row), row.top1), xytext=(right, up), textcoords="offset points",
            ha=side, va="bottom", fontsize=FONT, color=_look(family_name(row.name))[0],
            weight="bold" if row.front else "normal",
        )  # fmt: skip


def _common(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
