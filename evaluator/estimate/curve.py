"""The curve of ShuffleNet v2 in one recipe: top-1 against log FLOPs, through its published rows.

top-1 = a + b x + c x^2 with x the log of FLOPs over those of ShuffleNet v2 1x. A recipe has its
own a and b; its c is drawn towards the mean of all recipes as far as its error is larger than how
recipes differ (a random effect). From a quarter of the FLOPs of the smallest published row and
half as many again as the largest on, the curve is its tangent. The scatter of rows about
their curves is pooled over recipes, since one recipe has a single degree of freedom to judge it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluator.estimate.pooling import pool

Floats = NDArray[np.float64]
REFERENCE_FLOPS = 144_907_992.0
COEFFICIENTS = 3
REACH = (0.25, 1.5)
LEAST_SLOPE_AT = 0.9  # of the way to the top of the parabola


@dataclass(frozen=True, slots=True, eq=False)
class RecipeCurve:
    """The curve of a recipe.

    Attributes:
        coefficients: a, b, c, in points.
        inverse: [3, 3], the covariance of the coefficients over `noise` squared.
        noise: the standard deviation of a row about its curve, in points.
        df: degrees of freedom of `noise`.
        lowest, highest: FLOPs of the rows.
    """

    coefficients: Floats
    inverse: Floats
    noise: float
    df: int
    lowest: float
    highest: float

    def _ends(self) -> tuple[float, float]:
        """x from which on the curve is its tangent, before it falls."""
        low, high = np.log(np.array([self.lowest, self.highest]) * REACH / REFERENCE_FLOPS)
        _, slope, curvature = self.coefficients
        if curvature < 0:
            high = min(high, -LEAST_SLOPE_AT * slope / (2 * curvature))
        return float(low), float(high)

    def design(self, log_flops: ArrayLike) -> Floats:
        """[n, 3]: what the coefficients are multiplied by, at natural logs of FLOPs [n]."""
        x = np.asarray(log_flops, dtype=float) - np.log(REFERENCE_FLOPS)
        inside = np.clip(x, *self._ends())
        square = inside**2 + 2 * inside * (x - inside)
        return np.stack([np.ones_like(x), x, square], axis=-1)

    def top1(self, log_flops: ArrayLike) -> Floats:
        """Top-1 in %, [n]."""
        return np.asarray(self.design(log_flops) @ self.coefficients)

    def slope(self, log_flops: ArrayLike) -> Floats:
        """Points for a unit of log FLOPs, [n]."""
        x = np.asarray(log_flops, dtype=float) - np.log(REFERENCE_FLOPS)
        _, slope, curvature = self.coefficients
        return np.asarray(slope + 2 * curvature * np.clip(x, *self._ends()))

    def variance(self, log_flops: ArrayLike) -> Floats:
        """The variance of the curve itself, without the noise of a row, [n]."""
        design = self.design(log_flops)
        return np.asarray(self.noise**2 * ((design @ self.inverse) * design).sum(axis=-1))


def fit_curves(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> dict[str, RecipeCurve]:
    """The curve of each recipe.

    Args:
        points: recipe -> FLOPs and top-1 of its rows.

    Raises:
        ValueError: no recipe has more rows than coefficients, or a curve falls within its rows.
    """
    designs, owns, squares, df = {}, {}, 0.0, 0
    for recipe, (flops, top1) in points.items():
        x = np.log(np.asarray(flops) / REFERENCE_FLOPS)
        designs[recipe] = np.vander(x, COEFFICIENTS, increasing=True)
        owns[recipe], *_ = np.linalg.lstsq(designs[recipe], np.asarray(top1), rcond=None)
        residuals = top1 - designs[recipe] @ owns[recipe]
        squares += float(residuals @ residuals)
        df += len(x) - COEFFICIENTS
    if df < 1 or squares <= 0:
        raise ValueError(f"a recipe must have more than {COEFFICIENTS} rows; none has")
    noise = float(np.sqrt(squares / df))
    curvature = pool(
        [float(own[-1]) for own in owns.values()],
        [noise**2 * float(np.linalg.inv(d.T @ d)[-1, -1]) for d in designs.values()],
    )
    towards = np.zeros((COEFFICIENTS, COEFFICIENTS))
    if curvature.studies > 1:
        towards[-1, -1] = noise**2 / curvature.next_variance
    found = {}
    for recipe, (flops, top1) in points.items():
        design = designs[recipe]
        inverse = np.linalg.inv(design.T @ design + towards)
        right = design.T @ np.asarray(top1, dtype=float) + towards[:, -1] * curvature.mean
        found[recipe] = RecipeCurve(
            inverse @ right, inverse, noise, df, float(min(flops)), float(max(flops))
        )
    for recipe, curve in found.items():
        if curve.slope([-np.inf, np.inf]).min() <= 0:
            raise ValueError(f"top-1 must grow with FLOPs in recipe {recipe}; its curve falls")
    return found
