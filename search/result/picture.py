"""The Pareto front as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from latency.table.header import latency_line
from search.problem.problem import Evaluation, Problem
from search.result.rows import ResultRow
from search.result.winners import front
from space.common.files import replace_file


def draw_front(
    path: Path, problem: Problem, found: Evaluation, rows: Sequence[ResultRow], title: str
) -> None:
    """Write a PNG: score against latency of all trials, the front, winners and baseline."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    milliseconds = found.costs.latency_s * 1e3
    for mask, color, label in (
        (~found.feasible, "#d9b3b3", "over a limit"),
        (found.feasible, "#9db4c8", "within all limits"),
    ):
        if mask.any():
            axes.scatter(milliseconds[mask], found.score[mask], s=9, c=color, label=label, lw=0)
    line = front(found)
    axes.step(milliseconds[line], found.score[line], where="post", c="#1f5a91", lw=1.3)
    axes.plot([], [], c="#1f5a91", lw=1.3, label="Pareto front")
    for row in rows:
        if row.latency_s is None:
            continue
        x = row.latency_s * 1e3
        if row.score is None:
            grey = "#777777"
            axes.axvline(x, c=grey, ls=":", lw=1)
            axes.annotate(
                row.name,
                (x, 0.45),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=7,
                ha="right",
                color=grey,
            )
            continue
        base = row.role == "baseline"
        marker, color, size = ("D", "#c44e00", 8) if base else ("*", "#0b7a3b", 13)
        axes.plot(x, row.score, marker, c=color, ms=size, mec="white", label=row.name)
        axes.annotate(
            row.name,
            (x, row.score),
            xytext=(8, -11) if base else (-8, 7),
            textcoords="offset points",
            ha="left" if base else "right",
            fontsize=8,
        )
    header = problem.table.header
    batch = "" if header.batch == 1 else f" per batch of {header.batch}"
    source = textwrap.fill(latency_line(header), 110)
    axes.set_xlabel(f"latency{batch} in ms\n{source}", fontsize=8)
    axes.set_ylabel(problem.score.label)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right", fontsize=7, framealpha=0.9, edgecolor="none")
    axes.grid(alpha=0.25)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
