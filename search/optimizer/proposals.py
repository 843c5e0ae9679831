"""New architectures from old ones, and which of them is worth a trial.

Costs and the closed-form score of thousands of architectures take milliseconds, a trial on disk
takes longer and a trained one minutes: so each trial is the best of many children, by numpy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Choices = NDArray[np.integer]


def children(
    parents: Choices, sizes: NDArray[np.int64], n: int, rng: np.random.Generator
) -> Choices:
    """n children of `parents` int [p, axes], int64 [n, axes]; random rows without parents.

    Each child takes every axis from one of two parents, then changes one or two axes on average:
    half of the changes are steps to a near choice (widths are ordered), half a fresh draw. One
    child in eight is fresh altogether.
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
    """The row that serves `direction` best (0: latency alone, 1: score alone).

    Among feasible rows the least augmented Tchebycheff distance to the best score and latency
    (Knowles, "ParEGO", IEEE TEVC 2006, section II); if none is feasible, the least total
    violation. Rows that are not `allowed` count for the ranges only.

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
