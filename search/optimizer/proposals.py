"""New architectures from old ones, and which of them is worth a trial.

Costs and score of thousands of architectures take milliseconds; storing a trial takes longer and
training a network minutes. So each trial is the best of many children.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Choices = NDArray[np.integer]


def children(
    parents: Choices, sizes: NDArray[np.int64], n: int, rng: np.random.Generator
) -> Choices:
    """n children of `parents` int [p, axes], int64 [n, axes]; random rows if p = 0.

    Each child takes every axis from one of two parents, then changes 1.5 axes on average: half of
    the changes are steps to a near choice (widths are ordered), half are random. One child in
    eight is a random row.

    Args:
        sizes: the number of choices of each axis, [axes].
    """
    axes = len(sizes)
    fresh = rng.integers(0, sizes, size=(n, axes))
    if not len(parents):
        return fresh
    mother, father = parents[rng.integers(0, len(parents), size=(2, n))]
    child = np.where(rng.random((n, axes)) < 0.5, mother, father)
    change = rng.random((n, axes)) < 1.5 / axes
    reach = np.maximum(1, sizes // 12)
    step = rng.integers(1, reach + 1, size=(n, axes)) * rng.choice((-1, 1), size=(n, axes))
    near = np.clip(child + step, 0, sizes - 1)
    changed = np.where(rng.random((n, axes)) < 0.5, near, fresh)
    child = np.where(change, changed, child)
    renewed = rng.random(n) < 1 / 8
    child[renewed] = fresh[renewed]
    return child


def pick(
    score: NDArray[np.float64],
    latency: NDArray[np.float64],
    violations: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    direction: float,
) -> int:
    """The best row for `direction` (0: only latency counts, 1: only score).

    Among feasible rows the one with the least augmented Tchebycheff distance to the best score
    and latency (Knowles, "ParEGO", IEEE TEVC 2006, section II); if no row is feasible, the one
    with the least total violation. Rows that are not `allowed` only widen the ranges.

    Args:
        score: float64 [n].
        latency: seconds, float64 [n].
        violations: float64 [n, constraints], feasible when <= 0.
        allowed: bool [n], the rows that may be picked.

    Raises:
        ValueError: no row is allowed.
    """
    if not allowed.any():
        raise ValueError("at least one row must be allowed; got none")
    total = np.maximum(violations, 0).sum(axis=1)
    feasible = total == 0
    if not (feasible & allowed).any():
        return int(np.argmin(np.where(allowed, total, np.inf)))
    lack = _unit(-score, feasible)
    cost = _unit(np.log(latency), feasible)
    weighted = np.stack([direction * lack, (1 - direction) * cost])
    distance = weighted.max(axis=0) + 0.05 * weighted.sum(axis=0)
    return int(np.argmin(np.where(feasible & allowed, distance, np.inf)))


def _unit(values: NDArray[np.float64], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values scaled so that `rows` span 0 to 1."""
    low, high = values[rows].min(), values[rows].max()
    return (values - low) / (high - low if high > low else 1.0)
