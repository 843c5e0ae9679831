"""Top-1 on ImageNet of networks of the space, with an interval, for one recipe.

A network's deviation score is additive over the slots: A = sum over features of coefficient *
feature (`axes`). ShuffleNet v2 has one A at each size, so A tells a size: the FLOPs F* at which
ShuffleNet v2 would have this A. The estimate is the recipe's curve at F*; the difference to
ShuffleNet v2 of the same FLOPs F is curve(F*) - curve(F), about slope * (A - A of ShuffleNet v2
at F). So a network has a higher top-1 if and only if it has a higher A.

For a search: the variance of the difference of two networks of equal FLOPs is a quadratic form of
the difference d of their features, |factors' d|^2 + sum of diagonal * d^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.estimate.axes import (
    NAMES,
    AxisModel,
    axis_model,
    features,
    paper_genes,
    parameter_of,
)
from evaluator.estimate.curve import RecipeCurve
from evaluator.estimate.fit import AxisEffects
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import CostModel

Floats = NDArray[np.float64]
INPUT = (224, 224, 3, 1000)
LEVEL = 0.9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AccuracyEstimates:
    """Estimates of n networks; all but `level` in points of top-1, [n].

    Attributes:
        mean, low, high, sd: top-1 on ImageNet, its interval and its standard deviation. One
            training's own scatter is in.
        difference, difference_low, difference_high, difference_sd: to the baseline, of what both
            have on average over trainings. The curve's error is common to both, so this interval
            is narrower.
        by_axis: parameter -> what it adds to the difference to ShuffleNet v2 of the same FLOPs,
            and the standard deviation of that.
        level: of the intervals.
    """

    mean: Floats
    low: Floats
    high: Floats
    sd: Floats
    difference: Floats
    difference_low: Floats
    difference_high: Floats
    difference_sd: Floats
    by_axis: dict[str, tuple[Floats, Floats]]
    level: float


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Networks against ShuffleNet v2: features less those at the same FLOPs, log of FLOPs and of
    F*, points for a unit of A."""

    apart: Floats
    log_flops: Floats
    log_equal: Floats
    unit: Floats


class AccuracyModel:
    """Estimates of top-1 for the networks of a space in one recipe.

    Args:
        space: at 224x224 with 1,000 classes.
        curve: of the recipe.
        effects: what the axes are worth.

    Raises:
        ValueError: another input size or number of classes.
    """

    def __init__(self, space: ShuffleNetV2Space, curve: RecipeCurve, effects: AxisEffects) -> None:
        found = (space.height, space.width, space.channels, space.classes)
        if found != INPUT:
            raise ValueError(
                "the estimate is of ImageNet, the space must have 224x224 images of 3 channels "
                f"and 1000 classes; got {found[0]}x{found[1]}, {found[2]} and {found[3]}"
            )
        self.space, self.curve, self.effects = space, curve, effects
        self.axes: AxisModel = axis_model(space, effects)
        self._costs = CostModel(space)
        paper = paper_genes(space)
        self._features = features(space, paper)
        self._log_flops = np.log(self._costs.costs(paper).flops)
        self._scores = self._features @ self.axes.coefficients
        if not (np.diff(self._scores) > 0).all():
            raise ValueError("the effects must make a larger ShuffleNet v2 better; these do not")

    @property
    def df(self) -> int:
        """Degrees of freedom of the intervals."""
        return min(self.curve.df, self.effects.df)

    def score(self, genes: Genes) -> Floats:
        """A of genes [n, parameters], [n]; top-1 grows with it, whatever the FLOPs.

        Raises:
            ValueError: another shape, a gene out of range, or a network outside the family.
        """
        return np.asarray(features(self.space, genes) @ self.axes.coefficients)

    def points_for_a_unit(self) -> float:
        """Points of top-1 for a unit of A, at ShuffleNet v2 1x."""
        placed = self._place(paper_genes(self.space)[1:2])
        return float(placed.unit[0])

    def estimate(
        self, genes: Genes, *, baseline: Genes | None = None, level: float = LEVEL
    ) -> AccuracyEstimates:
        """Estimates of genes [n, parameters].

        Args:
            baseline: what `difference` is to, [1, parameters]; None: ShuffleNet v2 of the same
                FLOPs as each network.
            level: of the intervals.

        Raises:
            ValueError: another shape, a gene out of range, a network outside the family, more
                than one baseline, or a level that is not between 0 and 1.
        """
        from scipy.stats import t

        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1; got {level}")
        placed = self._place(genes)
        curve, mean = self.curve, self.curve.top1(placed.log_equal)
        around = placed.unit[:, None] * placed.apart
        beside, other_log = around, placed.log_flops
        if baseline is not None:
            if len(baseline) != 1:
                raise ValueError(f"the baseline must be one network; got {len(baseline)}")
            base = self._place(baseline)
            beside, other_log = around - base.unit[:, None] * base.apart, base.log_equal
        design = curve.design(placed.log_equal) - curve.design(other_log)
        common = curve.noise**2 * ((design @ curve.inverse) * design).sum(axis=1)
        difference_sd = np.sqrt(common + self.axes.variance(beside))
        own = curve.variance(placed.log_equal) + curve.noise**2
        sd = np.sqrt(own + self.axes.variance(around))
        factor = float(t.ppf(0.5 + level / 2, self.df))
        difference = mean - curve.top1(other_log)
        return AccuracyEstimates(
            mean=mean,
            low=mean - factor * sd,
            high=mean + factor * sd,
            sd=sd,
            difference=difference,
            difference_low=difference - factor * difference_sd,
            difference_high=difference + factor * difference_sd,
            difference_sd=difference_sd,
            by_axis=self._by_axis(placed),
            level=level,
        )

    def _place(self, genes: Genes) -> _Placed:
        found = features(self.space, genes)
        log_flops = np.log(self._costs.costs(genes).flops)
        own = _along(self._log_flops, self._features, log_flops)
        log_equal = _along(self._scores, self._log_flops, found @ self.axes.coefficients)
        gap = (found - own) @ self.axes.coefficients
        rate = _slope(self._scores, self._log_flops, found @ self.axes.coefficients)
        unit = self.curve.slope(log_equal) * rate
        rise = self.curve.top1(log_equal) - self.curve.top1(log_flops)
        far = np.abs(gap) > 1e-6
        unit = np.where(far, rise / np.where(far, gap, 1), unit)
        return _Placed(found - own, log_flops, log_equal, unit)

    def _by_axis(self, placed: _Placed) -> dict[str, tuple[Floats, Floats]]:
        """Parameter -> points and their standard deviation."""
        axes = self.axes
        covariance = axes.factors @ axes.factors.T + np.diag(axes.diagonal)
        parameters = [parameter_of(name) for name in NAMES]
        found = {}
        for parameter in dict.fromkeys(parameters):
            mine = [index for index, name in enumerate(parameters) if name == parameter]
            part = placed.apart[:, mine]
            variance = ((part @ covariance[np.ix_(mine, mine)]) * part).sum(axis=1)
            points = placed.unit * (part @ axes.coefficients[mine])
            found[parameter] = points, placed.unit * np.sqrt(variance)
        return found


def _segments(knots: Floats, at: Floats) -> NDArray[np.intp]:
    return np.clip(np.searchsorted(knots, at) - 1, 0, len(knots) - 2)


def _along(knots: Floats, values: Floats, at: Floats) -> Floats:
    """Values [knots, ...] on straight lines between knots, and beyond them, at [n]."""
    left = _segments(knots, at)
    share = (at - knots[left]) / (knots[left + 1] - knots[left])
    if values.ndim == 2:
        share = share[:, None]
    return np.asarray(values[left] + share * (values[left + 1] - values[left]))


def _slope(knots: Floats, values: Floats, at: Floats) -> Floats:
    """The slope of those lines at [n]."""
    left = _segments(knots, at)
    return np.asarray((values[left + 1] - values[left]) / (knots[left + 1] - knots[left]))
