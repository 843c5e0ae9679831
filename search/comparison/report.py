"""The comparison for people: tables and the paper's four panels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.comparison.order import order_lines, orders
from search.comparison.rows import PAPER_SPEED, PaperRow, Source
from search.problem.budget import scaled

COLORS = {
    "ShuffleNet v2": "#c44e00",
    "ShuffleNet v1": "#1f5a91",
    "MobileNet v1": "#777777",
    "MobileNet v2": "#0b7a3b",
    "Xception": "#8a4fa3",
    "DenseNet": "#b59f00",
}


def _console() -> Any:
    from rich.console import Console

    return Console(width=118, highlight=False)


def _latency(row: PaperRow) -> str:
    return "not in table" if row.latency_s is None else scaled(row.latency_s, "latency_s")


def print_rows(rows: Sequence[PaperRow], source: Source) -> None:
    """Fastest first, with the paper's measurement beside the latency where there is one."""
    from rich.table import Table

    measured = any(row.paper_s is not None for row in rows)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("network", no_wrap=True)
    names = ["FLOPs", "published top-1 error", "latency", "images/s"]
    for name in [*names, *(("the paper measured", "error") if measured else ())]:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        speed = "-" if row.latency_s is None else f"{source.batch / row.latency_s:.1f}"
        error = "-" if row.published_error is None else f"{row.published_error:g} %"
        cells = [row.name, scaled(row.flops, "flops"), error, _latency(row), speed]
        if measured:
            cells.append("-" if row.paper_s is None else scaled(row.paper_s, "latency_s"))
            cells.append("-" if row.error is None else f"{row.error:+.1%}")
        shown.add_row(*cells)
    console = _console()
    console.print(shown)
    if measured:
        errors = [abs(row.error) for row in rows if row.error is not None]
        console.print(f"\nmean error {sum(errors) / len(errors):.1%} on {len(errors)} networks")
    for line in order_lines(orders(rows)):
        console.print(line, soft_wrap=True)
    console.print(f"\n{source.line}", soft_wrap=True)
    console.print("top-1 error: ImageNet, as published; sources: python -m space.zoo")


def print_features(rows: Sequence[PaperRow], source: Source) -> None:
    """By complexity group: speed relative to ShuffleNet v2, here and in the paper's Table 7."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("MFLOPs at 224")
    shown.add_column("backbone", no_wrap=True)
    for name in ("FLOPs here", "latency", "relative speed", "in Table 7 (detector)"):
        shown.add_column(name, justify="right", no_wrap=True)
    before = None
    for row in rows:
        group = "" if row.group is None or row.group == before else str(row.group)
        before = row.group
        here = "-" if row.relative_speed is None else f"{row.relative_speed:.2f}"
        paper = "-" if row.paper_relative is None else f"{row.paper_relative:.2f}"
        shown.add_row(group, row.name, scaled(row.flops, "flops"), _latency(row), here, paper)
    console = _console()
    console.print(shown)
    console.print(f"\n{source.line}", soft_wrap=True)
    console.print(
        "Table 7 times the whole detector on a GTX 1080 Ti; its common part brings ratios nearer "
        "to 1 than those of the backbones alone",
        soft_wrap=True,
    )


def _family(name: str) -> str | None:
    return next((family for family in COLORS if name.startswith(f"{family} ")), None)


def draw_comparison(path: Path, rows: Sequence[PaperRow], source: Source, target: str) -> None:
    """The panels of the paper's Figure 1 as a PNG: error against speed and speed against FLOPs,
    on this target above, as the paper measured them on its nearest device below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    column = 0 if target == "gpu" else 1
    images = 8 if target == "gpu" else 1
    known = [row for row in rows if _family(row.name) and row.latency_s is not None]
    here = [(row, source.batch / row.latency_s) for row in known if row.latency_s]
    paper = [
        (row, images * PAPER_SPEED[row.name][column]) for row in known if row.name in PAPER_SPEED
    ]
    figure = Figure(figsize=(9, 7), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    device = "GTX 1080 Ti" if target == "gpu" else "Snapdragon 810"
    for axes, points, where in (
        (panels[0], here, f"{target} ({source.kind})"),
        (panels[1], paper, f"{device}, measured by the paper"),
    ):
        for family, color in COLORS.items():
            own = [(row, speed) for row, speed in points if _family(row.name) == family]
            own.sort(key=lambda item: item[0].flops)
            if not own:
                continue
            speeds = [speed for _, speed in own]
            flops = [row.flops / 1e6 for row, _ in own]
            axes[0].plot(speeds, [r.published_error for r, _ in own], "o-", c=color, label=family)
            axes[1].plot(flops, speeds, "o-", c=color, label=family)
        axes[0].set(xlabel="images/s", ylabel="published top-1 error in %", title=where)
        axes[1].set(xlabel="MFLOPs", ylabel="images/s", title=where, yscale="log")
        axes[1].yaxis.set_major_formatter("{x:g}")
        axes[1].yaxis.set_minor_formatter("{x:g}")
        for panel in axes:
            panel.grid(alpha=0.25)
            panel.title.set_fontsize(9)
        axes[0].legend(fontsize=7)
    figure.supxlabel(textwrap.fill(source.line, 120), fontsize=8)
    temporary = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(temporary, format="png", metadata={"Software": None})
    temporary.replace(path)
