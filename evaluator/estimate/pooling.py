"""Random-effects meta-analysis of one effect that several sources measured.

The between-source variance is that of Paule and Mandel, "Consensus values and weighting factors"
(Journal of Research of the National Bureau of Standards 87, 1982, section 2): the one that makes
the weighted squared deviations from the mean what their number lets expect. The mean is judged by
Student's t, as Knapp and Hartung, "Improved tests for a random effects meta-regression with a
single covariate" (Statistics in Medicine 22, 2003, equation 5) propose; with this variance their
factor is 1.

Few sources say little about how far the next one is. A prior then counts as `PRIOR_DF` further
degrees of freedom of the between-source variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PRIOR_DF = 2
"""How many degrees of freedom the prior of a between-source variance counts for."""
PRIOR_SHARE = 0.5
"""The prior's between-source deviation, as a share of the effect: half as much or half as much
again is nothing unusual in another source."""


@dataclass(frozen=True, slots=True)
class PooledEffect:
    """An effect over sources.

    Attributes:
        mean: over the sources.
        within: the mean variance of a source's own estimate.
        between: the variance of the true effects of sources.
        variance: of `mean`.
        studies: how many sources measured it.
        df: degrees of freedom of an interval.
    """

    mean: float
    within: float
    between: float
    variance: float
    studies: int
    df: int

    @property
    def next_variance(self) -> float:
        """The variance of the effect in a source that has not been seen, about `mean`."""
        return self.between + self.variance


def paule_mandel(effects: Floats, variances: Floats) -> float:
    """The between-source variance of effects [n] with sampling variances [n]; 0 of one effect."""
    from scipy.optimize import brentq

    free = len(effects) - 1

    def excess(between: float) -> float:
        weights = 1 / (variances + between)
        mean = weights @ effects / weights.sum()
        return float(weights @ (effects - mean) ** 2) - free

    if free < 1 or excess(0.0) <= 0:
        return 0.0
    top = float(np.ptp(effects)) ** 2 * len(effects) + float(variances.max())
    return float(brentq(excess, 0.0, top, xtol=1e-15, rtol=1e-12))


def pool(
    effects: Sequence[float], variances: Sequence[float], *, prior: bool = False
) -> PooledEffect:
    """Pool an effect over sources.

    Args:
        effects: one for each source, [n].
        variances: of each, [n].
        prior: the between-source variance has the prior of this module.

    Raises:
        ValueError: no effect, or a variance that is not positive.
    """
    effect, variance = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    if len(effect) < 1 or effect.shape != variance.shape or not (variance > 0).all():
        raise ValueError(
            "effects and variances must be as many, at least one, and variances above 0; "
            f"got {len(effect)} effects, variances {variance.tolist()}"
        )
    free = len(effect) - 1
    between = paule_mandel(effect, variance)
    if prior:
        guess = (PRIOR_SHARE * _mean(effect, variance, between)) ** 2
        between = (free * between + PRIOR_DF * guess) / (free + PRIOR_DF)
    return PooledEffect(
        mean=_mean(effect, variance, between),
        within=float(variance.mean()),
        between=between,
        variance=float(1 / (1 / (variance + between)).sum()),
        studies=len(effect),
        df=free + PRIOR_DF * prior,
    )


def _mean(effects: Floats, variances: Floats, between: float) -> float:
    weights = 1 / (variances + between)
    return float(weights @ effects / weights.sum())
