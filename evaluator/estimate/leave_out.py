"""How good is the estimate on a source that it was not fitted on? One source is left out at a
time, and with it all its data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.benchmarks.ranking import agreement
from evaluator.estimate.curve import RecipeCurve, fit_curves
from evaluator.estimate.fit import EFFECTS, AxisEffects, EqualFlops, foretell
from evaluator.estimate.stored import FittedEstimate, fit_public, read_public, write_fitted
from space.common.provenance import versions
from space.common.text import print_rich, rich_table

LEVELS = (0.8, 0.9)
AIMS = {"accel-nasbench": 0.87, "dynas-ofa": 0.86, "nats-sss": 0.90}
CAPTION = (
    "rank: Spearman, mean over ten deciles of FLOPs, of a source that nothing was fitted on;\n"
    "in 80 %, in 90 %: its networks inside these intervals about the foretold deviation from the\n"
    "source's own curve; error, foretold: root mean square, in what a log width of all stages adds"
)
EFFECTS_CAPTION = (
    "within: mean variance of a source's own estimate; between: variance between sources, with\n"
    "its prior; growth is the natural log; +-: deviation of the mean"
)


def leave_one_out(
    data: str | Path | None = None, *, write: str | Path | None = None
) -> dict[str, Any]:
    """Judge the estimate on each source, fitted without it; and fit it on all.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.
        write: a file for the estimate that is fitted on all sources.

    Returns:
        versions; sources: rows with rank, coverage and effects without the source; rows: the same
        for the published rows of each recipe, each left out; effects: pooled over all sources;
        studies: each source's own estimates and variances.

    Raises:
        ValueError: a file is of another schema; one line that names it.
        MissingDataError: the folder or a table is missing.
        OSError: a file cannot be read or written.
    """
    public = read_public(data)
    fitted = fit_public(public)
    without = {
        group: fit_public(public, without=group).effects
        for group in dict.fromkeys(source.group for source in public.sources)
    }
    if write is not None:
        write_fitted(Path(write), fitted, public)
    effects = fitted.effects
    return {
        "versions": versions("numpy", "scipy"),
        "sources": [judge(equal, without[equal.source.group]) for equal in public.equals],
        "rows": [_judge_rows(fitted, recipe) for recipe in fitted.curves],
        "effects": [
            {"effect": name, **_row(effects, name), **_spread(without, name)} for name in EFFECTS
        ],
        "scatter": effects.scatter,
        "studies": effects.studies,
    }


def judge(equal: EqualFlops, effects: AxisEffects) -> dict[str, Any]:
    """Compare one source with effects that were fitted without it."""
    from scipy.stats import t

    source = equal.source
    coefficients = effects.coefficients(source.levels)
    score = sum(values @ coefficients[axis] for axis, values in source.axes.items())
    foretold = foretell(equal, effects)
    sd = np.sqrt(foretold.variance(effects.scatter))
    inside = {
        level: float((np.abs(foretold.error) < t.ppf(0.5 + level / 2, effects.df) * sd).mean())
        for level in LEVELS
    }
    rank = agreement(np.asarray(score), source.accuracy, source.flops)
    return {
        "source": source.name,
        "networks": len(source.flops),
        "rank": rank["spearman_equal_flops"],
        "aim": AIMS.get(source.group),
        **{f"in {level:.0%}": share for level, share in inside.items()},
        "error": float(foretold.error.std()),
        "foretold": float(np.sqrt(np.square(sd).mean())),
        **{name: getattr(effects, name).mean for name in EFFECTS},
        "scatter": effects.scatter,
    }


def _judge_rows(fitted: FittedEstimate, recipe: str) -> dict[str, Any]:
    """Leave each published row of a recipe out, and see whether its curve then meets it."""
    from scipy.stats import t

    flops, top1 = fitted.points[recipe]
    errors, inside = [], dict.fromkeys(LEVELS, 0)
    for index in range(len(flops)):
        points = dict(fitted.points)
        rest = [other for other in range(len(flops)) if other != index]
        points[recipe] = [flops[other] for other in rest], [top1[other] for other in rest]
        curve: RecipeCurve = fit_curves(points)[recipe]
        at = np.log([flops[index]])
        error = float(top1[index] - curve.top1(at)[0])
        sd = float(np.sqrt(curve.variance(at)[0] + curve.noise**2))
        errors.append(error)
        for level in LEVELS:
            inside[level] += abs(error) < t.ppf(0.5 + level / 2, curve.df) * sd
    return {
        "recipe": recipe,
        "rows": len(flops),
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        **{f"in {level:.0%}": int(count) for level, count in inside.items()},
    }


def _row(effects: AxisEffects, name: str) -> dict[str, float]:
    effect = getattr(effects, name)
    return {
        "mean": effect.mean,
        "error": float(np.sqrt(effect.variance)),
        "within": effect.within,
        "between": effect.between,
        "sources": effect.studies,
    }


def _spread(without: Mapping[str, AxisEffects], name: str) -> dict[str, float]:
    return {f"without {group}": getattr(of, name).mean for group, of in without.items()}


def print_leave_one_out(report: Mapping[str, Any]) -> None:
    """Print what `leave_one_out` returns."""
    left = rich_table(
        ["left out", "networks", "rank", "aim", "in 80 %", "in 90 %", "error", "foretold"],
        [
            [
                row["source"],
                f"{row['networks']:,}",
                f"{row['rank']:.3f}",
                f"{row['aim']:.2f}" if row["aim"] else "-",
                *(f"{row[f'in {level:.0%}']:.3f}" for level in LEVELS),
                f"{row['error']:.2f}",
                f"{row['foretold']:.2f}",
            ]
            for row in report["sources"]
        ],
        title="one source left out",
    )
    rows = rich_table(
        ["recipe", "rows", "error, points", "in 80 %", "in 90 %"],
        [
            [
                row["recipe"],
                str(row["rows"]),
                f"{row['error']:.2f}",
                *(f"{row[f'in {level:.0%}']} of {row['rows']}" for level in LEVELS),
            ]
            for row in report["rows"]
        ],
        title="one published row of ShuffleNet v2 left out",
    )
    effects = rich_table(
        ["effect", "mean", "+-", "within", "between", "sources"],
        [
            [
                row["effect"],
                f"{row['mean']:.3f}",
                f"{row['error']:.3f}",
                f"{row['within']:.5f}",
                f"{row['between']:.4f}",
                str(row["sources"]),
            ]
            for row in report["effects"]
        ],
        title=f"pooled effects; scatter of a coefficient {report['scatter']:.2f}",
    )
    studies = rich_table(
        ["source", *EFFECTS],
        [
            [source, *(_study(report["studies"], name, source) for name in EFFECTS)]
            for source in dict.fromkeys(
                source for name in EFFECTS for source in report["studies"][name]
            )
        ],
        title="each source's own estimate (standard error)",
    )
    print_rich(left)
    print(CAPTION)
    print_rich(rows, effects)
    print(EFFECTS_CAPTION)
    print_rich(studies)


def _study(studies: Mapping[str, Any], name: str, source: str) -> str:
    if source not in studies[name]:
        return "-"
    mean, variance = studies[name][source]
    return f"{mean:.3f} ({np.sqrt(variance):.3f})"
