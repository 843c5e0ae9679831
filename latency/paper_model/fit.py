"""Fit the coefficients of a published table, and cross-validate the fit.

The fit is bounded least squares on relative errors, reweighted to Huber's loss. It never reads
Table 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency.paper_model.rows import FitRow
from latency.table.op_terms import TERMS, amounts
from space.graph.op import Op

# Error of any sum over ops: the speed of the same 1x1 convolution differs by 4-8 % between Tables
# 1, 2 and 3.
MODEL_DEVIATION = {"arm": 0.05, "gpu": 0.06}
# This phone chip throttles in runs of seconds, as the largest inputs show.
THROTTLED_S, THROTTLED_DEVIATION = 1.5, 0.15
HUBER, ROUNDS = 1.5, 50
DIGITS = 6


def design_matrix(target: str, rows: Sequence[FitRow]) -> NDArray[np.float64]:
    """The amount of each term in each row, float64 [rows, terms]."""
    names = list(TERMS[target])
    matrix = np.zeros((len(rows), len(names)))
    column = {name: j for j, name in enumerate(names)}
    for i, row in enumerate(rows):
        times: dict[Op, float] = {}  # networks repeat their units
        for op, n in row.ops:
            times[op] = times.get(op, 0.0) + n
        for op, n in times.items():
            for name, amount in amounts(target, op, row.batch).items():
                matrix[i, column[name]] += n * float(amount)
        if "network" in names and not row.is_network:
            matrix[i, names.index("network")] = 1.0
    return matrix


def deviations(target: str, rows: Sequence[FitRow]) -> NDArray[np.float64]:
    """Relative standard deviation of each row, the inverse of its weight, float64 [rows]."""
    slow = [
        THROTTLED_DEVIATION if target == "arm" and row.measured_s > THROTTLED_S else 0.0
        for row in rows
    ]
    parts = [
        (MODEL_DEVIATION[target], row.precision, row.uncertainty, extra)
        for row, extra in zip(rows, slow, strict=True)
    ]
    return np.sqrt(np.sum(np.square(parts), axis=1))


def solve(
    target: str,
    matrix: NDArray[np.float64],
    measured_s: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Coefficients in seconds per unit, float64 [terms], within the bounds of the terms."""
    from scipy.optimize import lsq_linear

    terms = TERMS[target].values()
    lower = np.array([term.lower for term in terms], dtype=np.float64)
    upper = np.array([term.upper for term in terms], dtype=np.float64)
    relative = matrix / measured_s[:, None]
    weight = 1.0 / deviation
    found = np.zeros(len(lower))
    for _ in range(ROUNDS):
        scaled = relative * weight[:, None]
        size = np.linalg.norm(scaled, axis=0)
        size[size == 0] = 1.0
        bounds = (lower * size, upper * size)
        result = lsq_linear(scaled / size, weight, bounds=bounds, method="bvls", tol=1e-13)
        before, found = found, result.x / size
        error = np.abs((relative @ found - 1.0) / deviation)
        weight = np.sqrt(np.minimum(1.0, HUBER / np.maximum(error, 1e-12))) / deviation
        if np.allclose(found, before, rtol=1e-9, atol=0):
            break
    return found


def fit_coefficients(target: str, rows: Sequence[FitRow]) -> dict[str, float]:
    """Term -> seconds per unit, to six digits: more than the data determine."""
    measured = np.array([row.measured_s for row in rows])
    found = solve(target, design_matrix(target, rows), measured, deviations(target, rows))
    return {
        name: float(f"{value:.{DIGITS - 1}e}")
        for name, value in zip(TERMS[target], found, strict=True)
    }


def row_errors(target: str, rows: Sequence[FitRow], coefficients: dict[str, float]) -> list[float]:
    """Predicted over measured, minus 1, of each row."""
    predicted = design_matrix(target, rows) @ np.array(list(coefficients.values()))
    return [float(p / row.measured_s - 1.0) for p, row in zip(predicted, rows, strict=True)]


def left_out_errors(target: str, rows: Sequence[FitRow]) -> list[float]:
    """Relative error of each row, predicted by a fit without its family. A family is all networks
    and units of one architecture, or one table of 1x1 convolutions."""
    matrix, deviation = design_matrix(target, rows), deviations(target, rows)
    measured = np.array([row.measured_s for row in rows])
    families = np.array([row.family for row in rows])
    error = np.zeros(len(rows))
    for family in sorted(set(families)):
        out = families == family
        found = solve(target, matrix[~out], measured[~out], deviation[~out])
        error[out] = matrix[out] @ found / measured[out] - 1.0
    return error.tolist()
