"""Fit the closed form's constants to a public table."""

from __future__ import annotations

BEST_DEPTH = 5
"""Units per stage: 20 blocks in four stages (Radosavovic et al., Section 5 and Figure 11)."""


def depth_cost(*, depth: float, carried: float, best_depth: float = BEST_DEPTH) -> float:
    """The cost per unit that makes `best_depth` units best where FLOPs are units * width^2.

    At equal FLOPs width falls as units^-1/2, so per log unit a stage's score changes by
    depth - depth_cost * units - (1 + carried) / 2, which is zero at the best depth.
    """
    return (depth - (1 + carried) / 2) / best_depth


def fit(data: str | None = None, *, half: int = 0, carried: float = 0.25) -> dict[str, float]:
    """Fitted `growth`, `depth`, `kernel_cost` with the `depth_cost` that follows."""
    import numpy as np
    from numpy.typing import NDArray
    from scipy.optimize import least_squares

    from evaluator.benchmarks import public_tables as trained

    table = trained.accel_nasbench(data)
    rows = trained.halves(len(table.flops))[half]
    log_split, units = np.log(table.splits[rows]), table.depths[rows]
    log_units, inverse = np.log(units), 1 / table.kernels[rows] ** 2
    accuracy, se = table.accuracy["ImageNet"][rows], table.se[rows]

    def miss(free: NDArray[np.float64]) -> NDArray[np.float64]:
        offset, slope, growth, depth, kernel_cost = free[:5]
        cost = depth_cost(depth=depth, carried=carried)
        term = log_split + depth * log_units - cost * units - kernel_cost * inverse
        return offset + slope * (term @ growth**table.levels) + se @ free[5:] - accuracy

    found = least_squares(miss, np.r_[50.0, 0.5, 1.5, 0.8, 1.0, np.zeros(se.shape[1])])
    growth, depth, kernel_cost = (float(value) for value in found.x[2:5])
    return {
        "growth": growth,
        "depth": depth,
        "depth_cost": depth_cost(depth=depth, carried=carried),
        "kernel_cost": kernel_cost,
        "rms_error": float(np.sqrt(2 * found.cost / len(rows))),
    }
