"""What each axis is worth, pooled over sources.

Of a source at equal FLOPs, accuracy follows

    unit * scale * sum over groups g of growth^level_g
        * (log width_g + depth * units_g + kernel * (1 - 9 / kernel_g^2))

plus a curve in log FLOPs (a quadratic) and what the source varies outside the family. `unit` is
the source's own: what it gains, per weight, as all its widths grow together. The others are
effects that carry over to another source, each with its variance within and between sources:

- `growth`: the weight of a level over that of the level before it (its log is pooled);
- `depth`: what one more unit of a group is worth, over a unit of log width;
- `kernel`: what a larger depthwise kernel is worth, likewise;
- `scale`: how much of the deviation that the others foretell is there. Below 1: what a source
  has to say is diluted by the levels' own deviations.

`scatter` is how far one group's coefficient is from this form, as a share of the coefficient: the
one that makes the mean squared error of the sources what the variances foretell (as the ratio of
Birge, "The calculation of errors by the method of least squares", Physical Review 40, 1932).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.estimate.pooling import PooledEffect, pool
from evaluator.estimate.sources import AxisSource

Floats = NDArray[np.float64]
Deepened = Callable[[float], tuple[float, float]]
"""Log growth -> the `depth` of networks that were scaled in width and depth, and its variance."""
EFFECTS = ("growth", "depth", "kernel", "scale")
GROWTHS = (-1.5, 2.5)  # bounds of the log
LARGEST_SCATTER = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisEffects:
    """The pooled effects; `growth` is of its natural log.

    `studies`: effect -> source -> its own estimate and variance.
    """

    growth: PooledEffect
    depth: PooledEffect
    kernel: PooledEffect
    scale: PooledEffect
    scatter: float
    studies: dict[str, dict[str, tuple[float, float]]]

    @property
    def df(self) -> int:
        """Degrees of freedom of an interval about a deviation."""
        return self.scale.df

    def weights(self, levels: Floats) -> Floats:
        """The weight of each level, 1 of the last one."""
        return np.exp(self.growth.mean * levels)

    def turns(self, levels: Floats) -> Floats:
        """What a unit more of log growth multiplies each weight by, if their sum is to stay."""
        weights = self.weights(levels)
        return levels - weights @ levels / weights.sum()

    def coefficients(self, levels: Floats) -> dict[str, Floats]:
        """Axis -> the coefficient of each group, before `scale`."""
        weights = self.weights(levels)
        depth, kernel = self.depth.mean * weights, self.kernel.mean * weights
        return {"width": weights, "depth": depth, "kernel": kernel}


@dataclass(frozen=True, slots=True, eq=False)
class EqualFlops:
    """A source at equal FLOPs: axes [n, groups] and accuracy [n] less what a quadratic in log
    FLOPs and the nuisance say of them."""

    source: AxisSource
    axes: dict[str, Floats]
    accuracy: Floats


def equal_flops(source: AxisSource) -> EqualFlops:
    """A source less its curve.

    Raises:
        ValueError: fewer networks than what is fitted, or all of the same FLOPs.
    """
    log = np.log(source.flops)
    groups = sum(values.shape[1] for values in source.axes.values())
    if len(log) < 2 * (groups + 3 + source.nuisance.shape[1]) or np.ptp(log) == 0:
        raise ValueError(
            f"{source.name} must have networks of different FLOPs, at least twice as many as "
            f"coefficients; got {len(log)}"
        )
    x = (log - log.mean()) / log.std()
    basis, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x, x**2, source.nuisance]))
    axes = {name: values - basis @ (basis.T @ values) for name, values in source.axes.items()}
    accuracy = source.accuracy - basis @ (basis.T @ source.accuracy)
    return EqualFlops(source, axes, accuracy)


def own_effects(equal: EqualFlops) -> dict[str, tuple[float, float]]:
    """Effect -> a source's own estimate and variance, without `scale`; least squares."""
    from scipy.optimize import minimize_scalar

    levels = equal.source.levels

    def columns(log_growth: float) -> Floats:
        weights = np.exp(log_growth * levels)
        return np.column_stack([values @ weights for values in equal.axes.values()])

    def solve(log_growth: float) -> tuple[Floats, Floats]:
        design = columns(log_growth)
        found = np.asarray(np.linalg.lstsq(design, equal.accuracy, rcond=None)[0], dtype=float)
        return found, equal.accuracy - design @ found

    def squares(log_growth: float) -> float:
        residuals = solve(log_growth)[1]
        return float(residuals @ residuals)

    best = float(minimize_scalar(squares, bounds=GROWTHS, method="bounded").x)
    by_axis, residuals = solve(best)
    step = 1e-4
    turn = (columns(best + step) - columns(best - step)) @ by_axis / (2 * step)
    jacobian = np.column_stack([turn, columns(best)])
    noise = float(residuals @ residuals) / (len(residuals) - jacobian.shape[1])
    covariance = noise * np.linalg.pinv(jacobian.T @ jacobian)
    found = {"growth": (best, float(covariance[0, 0]))}
    width = float(by_axis[0])
    for index, axis in enumerate(equal.axes):
        if axis == "width":
            continue
        ratio = float(by_axis[index]) / width
        gradient = np.zeros(len(covariance))
        gradient[1], gradient[1 + index] = -ratio / width, 1 / width
        found[axis] = ratio, float(gradient @ covariance @ gradient)
    return found


def unit_of(source: AxisSource, effects_weights: Floats) -> float:
    """Points for a unit of deviation: what all widths together are worth, over the weights."""
    columns = np.column_stack([*source.axes.values(), source.nuisance])
    centred = columns - columns.mean(0)
    accuracy = source.accuracy - source.accuracy.mean()
    found, *_ = np.linalg.lstsq(centred, accuracy, rcond=None)
    return float(found[: len(source.levels)].sum() / effects_weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Foretold:
    """What the effects say of a source's networks at equal FLOPs, in units of deviation, [n]: the
    deviation before `scale`, its variance from common effects, and for a scatter of 1."""

    error: Floats
    deviation: Floats
    common: Floats
    scattered: Floats

    def variance(self, scatter: float) -> Floats:
        return self.common + scatter**2 * self.scattered


def deviation_of(equal: EqualFlops, effects: AxisEffects) -> Floats:
    """The deviation before `scale`, [n]."""
    coefficients = effects.coefficients(equal.source.levels)
    return np.asarray(sum(values @ coefficients[axis] for axis, values in equal.axes.items()))


def foretell(equal: EqualFlops, effects: AxisEffects) -> Foretold:
    """Compare a source with effects; `error` is less their mean."""
    levels = equal.source.levels
    coefficients, weights = effects.coefficients(levels), effects.weights(levels)
    deviation, scale = deviation_of(equal, effects), effects.scale.mean
    turns = effects.turns(levels)
    turn = sum(values @ (coefficients[axis] * turns) for axis, values in equal.axes.items())
    common = effects.scale.next_variance * deviation**2
    common = common + scale**2 * effects.growth.next_variance * np.square(turn)
    for axis, effect in (("depth", effects.depth), ("kernel", effects.kernel)):
        if axis in equal.axes:
            common += scale**2 * effect.next_variance * (equal.axes[axis] @ weights) ** 2
    scattered = sum(
        np.square(values) @ np.square(coefficients[axis]) for axis, values in equal.axes.items()
    )
    unit = unit_of(equal.source, weights)
    error = equal.accuracy / unit - scale * deviation
    return Foretold(error, deviation, common, scale**2 * np.asarray(scattered))


def fit_effects(equals: Sequence[EqualFlops], deepened: Deepened | None = None) -> AxisEffects:
    """Pool the effects over sources.

    Args:
        deepened: a further source of `depth`.

    Raises:
        ValueError: no source varies an axis.
    """
    studies: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in EFFECTS}
    for equal in equals:
        for name, estimate in own_effects(equal).items():
            studies[name][equal.source.name] = estimate
    growth = _pooled(studies, "growth")
    if deepened is not None:
        studies["depth"]["mobilenetv2"] = deepened(growth.mean)
    one = PooledEffect(1.0, 0.0, 0.0, 0.0, 0, 1)
    depth, kernel = _pooled(studies, "depth"), _pooled(studies, "kernel")
    shape = AxisEffects(
        growth=growth, depth=depth, kernel=kernel, scale=one, scatter=0.0, studies=studies
    )
    for equal in equals:
        deviation = deviation_of(equal, shape)
        unit = unit_of(equal.source, shape.weights(equal.source.levels))
        slope = float(deviation @ equal.accuracy / (deviation @ deviation))
        left = equal.accuracy - slope * deviation
        variance = float(left @ left) / (len(left) - 1) / float(deviation @ deviation)
        studies["scale"][equal.source.name] = slope / unit, variance / unit**2
    effects = AxisEffects(
        growth=growth,
        depth=depth,
        kernel=kernel,
        scale=_pooled(studies, "scale"),
        scatter=0.0,
        studies=studies,
    )
    scatter = _scatter([foretell(equal, effects) for equal in equals])
    return AxisEffects(
        growth=growth,
        depth=depth,
        kernel=kernel,
        scale=effects.scale,
        scatter=scatter,
        studies=studies,
    )


def _pooled(studies: dict[str, dict[str, tuple[float, float]]], name: str) -> PooledEffect:
    if not (found := list(studies[name].values())):
        raise ValueError(f"at least one source must vary what tells {name}; none does")
    return pool([mean for mean, _ in found], [variance for _, variance in found], prior=True)


def _scatter(foretold: Sequence[Foretold]) -> float:
    """The scatter at which squared errors are on average what is foretold; each source counts as
    much as another."""
    from scipy.optimize import brentq

    def excess(scatter: float) -> float:
        ratios = [float((each.error**2 / each.variance(scatter)).mean()) for each in foretold]
        return float(np.mean(ratios)) - 1

    if excess(0.0) <= 0:
        return 0.0
    if excess(LARGEST_SCATTER) > 0:
        raise ValueError(
            "the sources must follow the form of the effects; coefficients of theirs are more "
            f"than {LARGEST_SCATTER:g} times off"
        )
    return float(brentq(excess, 0.0, LARGEST_SCATTER, xtol=1e-9))
