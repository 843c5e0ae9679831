"""A picture of the estimate: curve and intervals, effects of the sources, errors by axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.estimate import RECIPES
from evaluator.estimate.fit import EFFECTS, AxisEffects, EqualFlops, foretell
from evaluator.estimate.model import AccuracyModel
from evaluator.estimate.stored import FittedEstimate
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.files import replace_file
from space.cost.lookup import CostModel

Floats = NDArray[np.float64]
BINS = 10
DRAWN = 40
TICKS = (40, 75, 150, 300, 600)  # million FLOPs
SIZE = (15.0, 5.2)
COLORS = ("#c1553b", "#3f6fa8", "#5b8c5a", "#8a63a8", "#b08a2e", "#777777")


def draw_estimate(
    path: Path, fitted: FittedEstimate, without: dict[str, AxisEffects], equals: list[EqualFlops]
) -> None:
    """Write a PNG of three parts.

    Args:
        without: group of sources -> the effects without it.

    Raises:
        ValueError: `path` is a folder, a pipe or a device.
        OSError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    curve, effects, errors = figure.subplots(1, 3, width_ratios=(1.2, 1, 1.1))
    _draw_curve(curve, fitted)
    _draw_effects(effects, fitted.effects)
    _draw_errors(errors, without, equals)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw_curve(axes: Any, fitted: FittedEstimate) -> None:
    """Published rows of each recipe, the first recipe's curve with its interval, and random
    networks of the space with theirs."""
    space = ShuffleNetV2Space()
    model = AccuracyModel(space, fitted.curves[RECIPES[0]], fitted.effects)
    genes = space.sample(40_000, np.random.default_rng(0))
    flops = CostModel(space).costs(genes).flops
    bins = np.digitize(np.log(flops), np.linspace(np.log(3e7), np.log(7e8), DRAWN + 1))
    genes = genes[[np.flatnonzero(bins == i)[0] for i in range(1, DRAWN + 1) if i in bins]]
    found, flops = model.estimate(genes), CostModel(space).costs(genes).flops
    spread = [found.mean - found.low, found.high - found.mean]
    axes.errorbar(flops / 1e6, found.mean, spread, fmt="o", ms=3, lw=0.8, color="#b9c4cf",
                  label=f"{len(genes)} random networks")  # fmt: skip
    at = np.linspace(np.log(3e7), np.log(7e8), 200)
    mean = model.curve.top1(at)
    half = 2 * np.sqrt(model.curve.variance(at) + model.curve.noise**2)
    axes.fill_between(np.exp(at) / 1e6, mean - half, mean + half, color=COLORS[0], alpha=0.25)
    axes.plot(np.exp(at) / 1e6, mean, color=COLORS[0], lw=1.5)
    for recipe, color in zip(RECIPES, COLORS, strict=False):
        of_flops, top1 = fitted.points[recipe]
        axes.plot(np.array(of_flops) / 1e6, top1, "D", ms=5, color=color, label=recipe)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="FLOPs (millions)", ylabel="top-1 on ImageNet (%)")
    axes.set_title(f"ShuffleNet v2 as published, and 90 % intervals ({RECIPES[0]})", fontsize=10)
    axes.legend(fontsize=7, loc="lower right")


def _draw_effects(axes: Any, effects: AxisEffects) -> None:
    """Each source's own estimate, and the pooled one with what the next source may have."""
    rows, ticks = 0, []
    for name, color in zip(EFFECTS, COLORS, strict=False):
        for source, (mean, variance) in effects.studies[name].items():
            axes.errorbar(mean, -rows, xerr=2 * np.sqrt(variance), fmt="o", ms=4, color=color)
            ticks.append(f"{name}: {source}")
            rows += 1
        pooled = getattr(effects, name)
        half = 2 * np.sqrt(pooled.next_variance)
        axes.errorbar(pooled.mean, -rows, xerr=half, fmt="D", ms=6, lw=3, color=color, alpha=0.6)
        ticks.append(f"{name}: pooled")
        rows += 1
    axes.set_yticks(-np.arange(rows), ticks, fontsize=7)
    axes.set_xlabel("effect, and two standard deviations")
    axes.set_title("what sources say, and what the next may", fontsize=10)


def _draw_errors(axes: Any, without: dict[str, AxisEffects], equals: list[EqualFlops]) -> None:
    """The mean error of each source that was left out, along each axis."""
    styles = {"width": "-", "depth": "--", "kernel": ":"}
    for equal, color in zip(equals, COLORS, strict=False):
        effects = without[equal.source.group]
        found = foretell(equal, effects)
        unit = float(np.sqrt(found.variance(effects.scatter).mean()))
        coefficients = effects.coefficients(equal.source.levels)
        for axis, values in equal.axes.items():
            total = values @ coefficients[axis]
            bins = np.array_split(np.argsort(total), BINS)
            means = [float(found.error[rows].mean()) / unit for rows in bins]
            axes.plot(np.arange(1, BINS + 1), means, styles[axis], color=color,
                      label=f"{equal.source.name}: {axis}")  # fmt: skip
    axes.axhline(0, color="black", lw=0.7)
    axes.set(xlabel="tenth of the networks, by what the axis adds")
    axes.set_ylabel("mean error, in foretold standard deviations")
    axes.set_title("errors on sources that were left out", fontsize=10)
    axes.legend(fontsize=6)
