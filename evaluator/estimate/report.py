"""The tables of the estimate on sources that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluator.estimate import RECIPES
from evaluator.estimate.fit import EFFECTS
from evaluator.estimate.leave_out import LEVELS
from space.common.text import print_rich, rich_table

CAPTION = (
    "rank: Spearman, mean over ten deciles of FLOPs, of a source that nothing was fitted on;\n"
    "in 80 %, in 90 %: its networks inside these intervals about the foretold deviation from the\n"
    "source's own curve; error, foretold: root mean square, over what a unit of log width of the\n"
    "last stage adds"
)
EFFECTS_CAPTION = (
    "within: mean variance of a source's own estimate; between: variance between sources, with\n"
    "its prior; growth is the natural log; +-: deviation of the mean"
)

AXES_CAPTION = (
    "points: for a unit of log width, of units up to four (depth), of log units beyond four\n"
    "(deeper), of log split, of 1 - 9 / kernel^2, of log stem and log head"
)


def print_leave_one_out(report: Mapping[str, Any]) -> None:
    """Print what `leave_one_out` returns."""
    print_rich(_sources(report["sources"]))
    print(CAPTION)
    print_rich(_rows(report["rows"]), _effects(report))
    print(EFFECTS_CAPTION)
    print_rich(_studies(report["studies"]), _axes(report["axes"]))
    print(AXES_CAPTION)


def _sources(rows: Sequence[Mapping[str, Any]]) -> Any:
    headings = ["left out", "networks", "rank", "aim", "in 80 %", "in 90 %", "error", "foretold"]
    cells = [
        [
            row["source"],
            f"{row['networks']:,}",
            f"{row['rank']:.3f}",
            f"{row['aim']:.2f}" if row["aim"] else "-",
            *(f"{row[f'in {level:.0%}']:.3f}" for level in LEVELS),
            f"{row['error']:.2f}",
            f"{row['foretold']:.2f}",
        ]
        for row in rows
    ]
    return rich_table(headings, cells, title="one source left out", fold=True)


def _rows(rows: Sequence[Mapping[str, Any]]) -> Any:
    cells = [
        [
            row["recipe"],
            str(row["rows"]),
            f"{row['error']:.2f}",
            *(f"{row[f'in {level:.0%}']} of {row['rows']}" for level in LEVELS),
        ]
        for row in rows
    ]
    title = "one published row of ShuffleNet v2 left out"
    return rich_table(
        ["recipe", "rows", "error, points", "in 80 %", "in 90 %"], cells, title=title
    )


def _effects(report: Mapping[str, Any]) -> Any:
    cells = [
        [
            row["effect"],
            f"{row['mean']:.3f}",
            f"{row['error']:.3f}",
            f"{row['within']:.5f}",
            f"{row['between']:.4f}",
            str(row["sources"]),
        ]
        for row in report["effects"]
    ]
    title = f"pooled effects; scatter of a coefficient {report['scatter']:.2f}"
    headings = ["effect", "mean", "+-", "within", "between", "sources"]
    return rich_table(headings, cells, title=title)


def _studies(studies: Mapping[str, Any]) -> Any:
    sources = dict.fromkeys(source for name in EFFECTS for source in studies[name])
    cells = [
        [source, *(_study(studies[name].get(source)) for name in EFFECTS)] for source in sources
    ]
    title = "each source's own estimate (standard error)"
    return rich_table(["source", *EFFECTS], cells, title=title, fold=True)


def _study(found: Sequence[float] | None) -> str:
    return "-" if found is None else f"{found[0]:.3f} ({np.sqrt(found[1]):.3f})"


def _axes(rows: Sequence[Mapping[str, Any]]) -> Any:
    cells = [
        [
            row["axis"],
            f"{row['coefficient']:.2f}",
            f"{row['within']:.4f}",
            f"{row['between']:.4f}",
            f"{np.sqrt(row['within'] + row['between']):.2f}",
            "yes" if row["varied"] else "by no source",
        ]
        for row in rows
    ]
    title = f"axes of the space, at ShuffleNet v2 1x ({RECIPES[0]})"
    headings = ["axis", "points", "within", "between", "deviation", "varied"]
    return rich_table(headings, cells, title=title)
