"""Fit the closed form's constants to a public table.

Least squares on one half of Accel-NASBench: accuracy against the score's terms, with a free
offset, slope and squeeze-and-excite effect per stage (the score has no such unit). `depth_cost`
is not free: it follows from `depth`, `passthrough` and the published best depth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluator.benchmarks.public_tables import halves, read_table
from evaluator.score.closed_form import ClosedForm, Floats

# Units per stage: 20 blocks in four stages (Radosavovic et al., "Designing Network Design Spaces",
# Section 5 and Figure 11).
BEST_DEPTH = 5


def depth_cost(depth: float) -> float:
    """The cost per unit that makes BEST_DEPTH units best where FLOPs are units * width^2.

    At equal FLOPs width falls as units^-1/2, so per log unit a stage's score changes by
    depth - depth_cost * units - (1 + passthrough) / 2, which is zero at the best depth.
    """
    return (depth - (1 + ClosedForm().passthrough) / 2) / BEST_DEPTH


def fit_constants(data: str | Path | None = None, *, half: int = 0) -> dict[str, float]:
    """The fitted `growth`, `depth`, `depth_cost` and `kernel_cost`, with the `rms_error` in %.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.
        half: of the table, 0 or 1.

    Raises:
        MissingDataError: the folder or the table is missing.
    """
    from scipy.optimize import least_squares

    table = read_table("accel-nasbench", data)
    rows = halves(len(table.flops))[half]
    log_split, units = np.log(table.splits[rows]), table.depths[rows]
    log_units, inverse = np.log(units), 1 / table.kernels[rows] ** 2
    accuracy, se = table.accuracy["ImageNet"][rows], table.se[rows]

    def residuals(free: Floats) -> Floats:
        offset, slope, growth, depth, kernel_cost = free[:5]
        term = log_split + depth * log_units - depth_cost(depth) * units - kernel_cost * inverse
        return offset + slope * (term @ growth**table.levels) + se @ free[5:] - accuracy

    found = least_squares(residuals, np.r_[50.0, 0.5, 1.5, 0.8, 1.0, np.zeros(se.shape[1])])
    growth, depth, kernel_cost = (float(value) for value in found.x[2:5])
    return {
        "growth": growth,
        "depth": depth,
        "depth_cost": depth_cost(depth),
        "kernel_cost": kernel_cost,
        "rms_error": float(np.sqrt(2 * found.cost / len(rows))),
    }
