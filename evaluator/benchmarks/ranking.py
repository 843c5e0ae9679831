"""How well does a score rank networks whose accuracy is known, and does it at equal FLOPs?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DECILES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Rank correlation of a score with accuracy; `equal_flops`: the mean over FLOPs deciles."""

    n: int
    spearman: float
    kendall: float
    spearman_equal_flops: float
    kendall_equal_flops: float
    worst_decile: float
    negative_deciles: int


def agreement(score: Floats, accuracy: Floats, flops: Floats) -> Agreement:
    """Judge `score`, [n], against `accuracy`, [n]. A constant score agrees with nothing: 0."""
    n = len(score)
    if not n == len(accuracy) == len(flops):
        raise ValueError(
            f"score, accuracy and FLOPs must be as many; got {n}, {len(accuracy)}, {len(flops)}."
        )
    if n < 3 * DECILES:
        raise ValueError(f"at least {3 * DECILES} networks are needed for deciles; got {n}.")
    if not np.isfinite(score).all():
        raise ValueError("every score must be finite; some are NaN or infinite.")
    spearman, kendall = _correlations(score, accuracy)
    each = [_correlations(score[i], accuracy[i]) for i in deciles(flops)]
    within = np.array(each)
    return Agreement(
        n=n,
        spearman=spearman,
        kendall=kendall,
        spearman_equal_flops=float(within[:, 0].mean()),
        kendall_equal_flops=float(within[:, 1].mean()),
        worst_decile=float(within[:, 0].min()),
        negative_deciles=int((within[:, 0] < 0).sum()),
    )


def deciles(flops: Floats) -> list[NDArray[np.intp]]:
    """Indices of ten groups of nearly equal FLOPs, equally large."""
    return np.array_split(np.argsort(flops, kind="stable"), DECILES)


def _correlations(score: Floats, accuracy: Floats) -> tuple[float, float]:
    from scipy import stats

    if np.ptp(score) == 0 or np.ptp(accuracy) == 0:
        return 0.0, 0.0
    spearman = stats.spearmanr(score, accuracy).statistic
    kendall = stats.kendalltau(score, accuracy).statistic
    return float(spearman), float(kendall)
