"""How good is the estimate on a source that it was not fitted on? One source is left out at a
time, and with it all its data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.benchmarks.ranking import agreement
from evaluator.estimate import RECIPES
from evaluator.estimate.axes import FACTORS, NAMES, UNVARIED, axis_of_feature
from evaluator.estimate.curve import RecipeCurve, fit_curves
from evaluator.estimate.fit import EFFECTS, AxisEffects, EqualFlops, foretell
from evaluator.estimate.model import AccuracyModel
from evaluator.estimate.picture import draw_estimate
from evaluator.estimate.stored import FittedEstimate, fit_public, read_public, write_fitted
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.provenance import versions

LEVELS = (0.8, 0.9)
AIMS = {"accel-nasbench": 0.87, "dynas-ofa": 0.86, "nats-sss": 0.90}


def leave_one_out(
    data: str | Path | None = None,
    *,
    write: str | Path | None = None,
    picture: str | Path | None = None,
) -> dict[str, Any]:
    """Judge the estimate on each source, fitted without it; and fit it on all.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.
        write: a file for the estimate that is fitted on all sources.
        picture: a PNG file for curve, effects and errors.

    Returns:
        versions; sources: rows with rank, coverage and effects without the source; rows: the same
        for the published rows of each recipe, each left out; effects: pooled over all sources;
        axes: what they make of the features of the space;
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
    if picture is not None:
        draw_estimate(Path(picture), fitted, without, public.equals)
    effects = fitted.effects
    return {
        "versions": versions("numpy", "scipy"),
        "sources": [judge(equal, without[equal.source.group]) for equal in public.equals],
        "rows": [_judge_rows(fitted, recipe) for recipe in fitted.curves],
        "effects": [
            {"effect": name, **_row(effects, name), **_spread(without, name)} for name in EFFECTS
        ],
        "axes": _axes(fitted),
        "scatter": effects.scatter,
        "studies": effects.studies,
    }


def _axes(fitted: FittedEstimate) -> list[dict[str, Any]]:
    """What each feature of the space is worth, in points at ShuffleNet v2 1x in the first recipe,
    with the variance of the mean (within) and that between sources."""
    space = ShuffleNetV2Space()
    model = AccuracyModel(space, fitted.curves[RECIPES[0]], fitted.effects)
    axes, unit = model.axes, model.points_for_a_unit()
    found = []
    for index, name in enumerate(NAMES):
        within = between = 0.0
        for part, factor in zip(axes.factors[index], FACTORS, strict=True):
            effect = getattr(fitted.effects, factor)
            within += float(part) ** 2 * effect.variance / effect.next_variance
            between += float(part) ** 2 * effect.between / effect.next_variance
        between += float(axes.diagonal[index])
        row = {"coefficient": float(axes.coefficients[index]) * unit}
        row |= {"within": within * unit**2, "between": between * unit**2}
        found.append({"axis": name, **row, "varied": axis_of_feature(name) not in UNVARIED})
    return found


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
