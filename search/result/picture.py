"""The Pareto front as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from latency.table.header import TableHeader, latency_line
from search.problem.problem import CLOSED_FORM, Evaluation
from search.result.rows import ResultRow
from search.result.winners import front
from space.common.files import replace_file


def draw_front(
    path: Path,
    found: Evaluation,
    rows: Sequence[ResultRow],
    title: str,
    header: TableHeader,
    score: str = CLOSED_FORM.label,
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
        if row.score is None or row.latency_s is None:
            continue
        is_base = row.role == "baseline"
        axes.plot(
            row.latency_s * 1e3,
            row.score,
            "D" if is_base else "*",
            c="#c44e00" if is_base else "#0b7a3b",
            ms=8 if is_base else 13,
            mec="white",
            label=row.name,
        )
        axes.annotate(
            row.name,
            (row.latency_s * 1e3, row.score),
            xytext=(8, -11) if is_base else (-8, 7),
            textcoords="offset points",
            ha="left" if is_base else "right",
            fontsize=8,
        )
    for row in rows:
        if row.score is None and row.latency_s is not None:
            axes.axvline(row.latency_s * 1e3, c="#777777", ls=":", lw=1)
            axes.annotate(
                row.name,
                (row.latency_s * 1e3, 0.45),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=7,
                ha="right",
                color="#777777",
            )
    batch = "" if header.batch == 1 else f" per batch of {header.batch}"
    source = textwrap.fill(latency_line(header), 110)
    axes.set_xlabel(f"latency{batch} in ms\n{source}", fontsize=8)
    axes.set_ylabel(score)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right", fontsize=7, framealpha=0.9, edgecolor="none")
    axes.grid(alpha=0.25)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
