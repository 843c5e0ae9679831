"""Pictures as PNG files, whatever the names in them are; the picture of a front."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.problem.problem import Evaluation, Problem
from search.problem.shape import shape_lines, shape_of
from search.result.rows import ResultRow
from search.result.winners import front
from space.common.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 600  # characters of a text in a picture
NAME_SHARE = 0.12  # of a picture's width: a winner's name


def wrapped(text: str, width: int) -> str:
    """A text for a picture, in lines of at most `width`: control characters are escaped, and a
    long text is cut in the middle."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    if len(plain) > LONGEST:
        plain = f"{plain[: LONGEST // 2]} ... {plain[-LONGEST // 2 :]}"
    return textwrap.fill(plain, width)


@contextmanager
def new_figure(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of `size` inches, which is written to `path` once the block has drawn it. Text is
    no mathematics: a path may have two dollar signs.

    Raises:
        ValueError: `path` is a folder, a pipe or a device.
        OSError: `path` cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # A box stands for a letter that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=size, dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with replace_file(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def draw_front(
    path: Path, problem: Problem, found: Evaluation, rows: Sequence[ResultRow], title: str
) -> None:
    """Write a PNG: score against latency of all trials, the front, winners and baseline."""
    with new_figure(path, (8, 5.2)) as figure:
        _draw(figure.subplots(), problem, found, rows, title)


def _draw(
    axes: Any, problem: Problem, found: Evaluation, rows: Sequence[ResultRow], title: str
) -> None:
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
    above, last = 0, -np.inf  # names of winners that are near each other are stacked
    near = NAME_SHARE * float(np.ptp(milliseconds))
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
        if not base:
            above, last = above + 10 if x - last < near else 6, x
        axes.annotate(
            row.name,
            (x, row.score),
            xytext=(8, -11) if base else (-8, above),
            textcoords="offset points",
            ha="left" if base else "right",
            fontsize=8,
        )
    header = problem.table.header
    batch = "" if header.batch == 1 else f" per batch of {header.batch}"
    source = wrapped("; ".join(shape_lines(header, shape_of(problem.space))), 110)
    axes.set_xlabel(f"latency{batch} in ms\n{source}", fontsize=8)
    axes.set_ylabel(problem.score.label, fontsize=9)
    axes.margins(y=0.15)
    axes.set_title(wrapped(title, 90), fontsize=10)
    axes.legend(loc="lower right", fontsize=7, framealpha=0.9, edgecolor="none")
    axes.grid(alpha=0.25)
