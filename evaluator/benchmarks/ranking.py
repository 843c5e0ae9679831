"""How well does a score rank networks whose accuracy is known, and does it at equal FLOPs?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from space.common.stats import kendall, mean_of, spearman

Floats = NDArray[np.float64]
DECILES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Rank correlations of a score with accuracy. None: not defined, as of a constant column.

    Attributes:
        n: how many networks.
        spearman, kendall: over all of them.
        spearman_equal_flops, kendall_equal_flops: mean over the deciles of FLOPs that have one.
        worst_decile: the lowest Spearman correlation of a decile.
        negative_deciles: how many deciles have a negative one.
    """

    n: int
    spearman: float | None
    kendall: float | None
    spearman_equal_flops: float | None
    kendall_equal_flops: float | None
    worst_decile: float | None
    negative_deciles: int


def agreement(score: Floats, accuracy: Floats, flops: Floats) -> Agreement:
    """Compare `score` with `accuracy`, over all networks and at nearly equal `flops`; all [n].

    Raises:
        ValueError: arrays of different lengths, fewer than 30 networks, or a score that is not
            finite.
    """
    n = len(score)
    if not n == len(accuracy) == len(flops):
        raise ValueError(
            f"score, accuracy and FLOPs must be as many; got {n}, {len(accuracy)}, {len(flops)}."
        )
    if n < 3 * DECILES:
        raise ValueError(f"at least {3 * DECILES} networks are needed for deciles; got {n}.")
    if not np.isfinite(score).all():
        raise ValueError("every score must be finite; some are NaN or infinite.")
    groups = deciles(flops)
    within = [spearman(score[rows], accuracy[rows]) for rows in groups]
    defined = [value for value in within if value is not None]
    return Agreement(
        n=n,
        spearman=spearman(score, accuracy),
        kendall=kendall(score, accuracy),
        spearman_equal_flops=mean_of(within),
        kendall_equal_flops=mean_of(kendall(score[rows], accuracy[rows]) for rows in groups),
        worst_decile=min(defined, default=None),
        negative_deciles=sum(value < 0 for value in defined),
    )


def deciles(flops: Floats) -> list[NDArray[np.intp]]:
    """Indices of ten groups of nearly equal FLOPs, equally large."""
    return np.array_split(np.argsort(flops, kind="stable"), DECILES)
