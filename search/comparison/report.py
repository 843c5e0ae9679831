"""The comparison for people: tables and the paper's four panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latency.paper_model.paper_speeds import PAPER_DEVICES
from search.comparison.compare import ORDER, Comparison, speed_orders
from search.comparison.rows import TABLE_8, PaperRow
from search.problem.budget import scaled
from search.result.picture import new_figure, wrapped
from space.common.text import format_number, print_rich, rich_table

COLORS = {
    "ShuffleNet v2": "#c44e00",
    "ShuffleNet v1": "#1f5a91",
    "MobileNet v1": "#777777",
    "MobileNet v2": "#0b7a3b",
    "Xception": "#8a4fa3",
    "DenseNet": "#b59f00",
}
TABLE_OPTIONS: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "bold"}
WIDTH = 118


def print_comparison(comparison: Comparison) -> None:
    """Print a row per network, and what follows from the rows."""
    if comparison.features_only:
        _print_backbones(comparison)
    else:
        _print_networks(comparison)


def _latency(row: PaperRow) -> str:
    return "not in table" if row.latency_s is None else scaled(row.latency_s, "latency_s")


def _print_networks(comparison: Comparison) -> None:
    """Fastest first, with the paper's measurement beside the latency if any row has one."""
    rows = comparison.rows
    measured = any(row.paper_s is not None for row in rows)
    headings = ["network", "FLOPs", "published top-1 error", "latency", "images/s"]
    cells = []
    for row in rows:
        speed = "-" if row.latency_s is None else f"{comparison.batch / row.latency_s:.1f}"
        error = "-" if row.published_error is None else f"{row.published_error:g} %"
        cells.append([row.name, scaled(row.flops, "flops"), error, _latency(row), speed])
        if measured:
            paper = "-" if row.paper_s is None else scaled(row.paper_s, "latency_s")
            cells[-1] += [paper, format_number(row.error, "+.1%")]
    lines = _format_orders(speed_orders(rows))
    if measured:
        headings += ["the paper measured", "error"]
        errors = [abs(row.error) for row in rows if row.error is not None]
        mean = f"{sum(errors) / len(errors):.1%}"
        lines.insert(0, f"\nmean error {mean} on {len(errors)} networks")
    lines.append(f"\n{comparison.line}")
    lines.append("top-1 error: ImageNet, as published; sources: python -m space.zoo")
    print_rich(rich_table(headings, cells, wrap=False, **TABLE_OPTIONS), *lines, width=WIDTH)


def _format_orders(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines for people: at which levels the order holds, and by how much it fails elsewhere."""
    if not found:
        return []
    holds = ", ".join(f"{order['mflops']}M" for order in found if order["holds"])
    lines = [f"order of speed {' > '.join(ORDER)}: holds at {holds or 'no level'}"]
    for order in found:
        for i, gap in enumerate(order["gaps"]):
            if gap <= 0:
                line = f"{ORDER[i + 1]} takes {_words(gap)} time than {ORDER[i]}"
                if order["paper_gaps"] is not None:
                    line += f"; the paper measured {_words(order['paper_gaps'][i])}"
                lines.append(f"  not at {order['mflops']}M: {line}")
    return lines


def _words(gap: float) -> str:
    return f"{abs(gap):.1%} {'more' if gap > 0 else 'less'}"


def _print_backbones(comparison: Comparison) -> None:
    """By complexity group: speed relative to ShuffleNet v2, here and in the paper's Table 7."""
    headings = ("MFLOPs at 224", "backbone", "FLOPs here", "latency", "relative speed",
                "in Table 7 (detector)")  # fmt: skip
    cells, before = [], None
    for row in comparison.rows:
        group = "" if row.group is None or row.group == before else str(row.group)
        before = row.group
        here, paper = format_number(row.relative_speed), format_number(row.paper_relative)
        cells.append((group, row.name, scaled(row.flops, "flops"), _latency(row), here, paper))
    print_rich(
        rich_table(headings, cells, right_from=2, wrap=False, **TABLE_OPTIONS),
        f"\n{comparison.line}",
        "Table 7 times the whole detector on a GTX 1080 Ti; its common part brings ratios nearer "
        "to 1 than those of the backbones alone",
        width=WIDTH,
    )


def draw_paper_figure(path: Path, comparison: Comparison) -> None:
    """The panels of the paper's Figure 1 as a PNG: error against speed and speed against FLOPs.

    The upper two are of this target, the lower two as the paper measured on its nearest device.

    Raises:
        OSError: `path` cannot be written.
    """
    target = comparison.target
    rows = [row for row in comparison.rows if _family(row.name) and row.latency_s is not None]
    here = [(row, comparison.batch / row.latency_s) for row in rows if row.latency_s]
    device, column, images = ("gpu", 0, 8) if target == "gpu" else ("arm", 1, 1)
    paper = [(row, images * TABLE_8[row.name][column]) for row in rows if row.name in TABLE_8]
    with new_figure(path, (9, 7)) as figure:
        upper, lower = figure.subplots(2, 2)
        _draw_panels(upper, here, wrapped(f"{target} ({comparison.kind})", 40))
        _draw_panels(lower, paper, f"{PAPER_DEVICES[device]}, measured by the paper")
        figure.supxlabel(wrapped(comparison.line, 120), fontsize=8)


def _draw_panels(axes: Any, points: Sequence[tuple[PaperRow, float]], title: str) -> None:
    """Two panels of (row, images per second), a line per family."""
    for family, color in COLORS.items():
        own = [(row, speed) for row, speed in points if _family(row.name) == family]
        if not own:
            continue
        rows, speeds = zip(*sorted(own, key=lambda item: item[0].flops), strict=True)
        axes[0].plot(speeds, [r.published_error for r in rows], "o-", c=color, label=family)
        axes[1].plot([r.flops / 1e6 for r in rows], speeds, "o-", c=color, label=family)
    axes[0].set(xlabel="images/s", ylabel="published top-1 error in %", title=title)
    axes[1].set(xlabel="MFLOPs", ylabel="images/s", title=title, yscale="log")
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].yaxis.set_minor_formatter("{x:g}")
    for panel in axes:
        panel.grid(alpha=0.25)
        panel.title.set_fontsize(9)
    axes[0].legend(fontsize=7)


def _family(name: str) -> str | None:
    return next((family for family in COLORS if name.startswith(f"{family} ")), None)
