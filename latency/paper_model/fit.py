"""Fit the coefficients of a published table, and cross-validate the fit.

The fit is bounded least squares on relative errors, reweighted to Huber's loss. It never reads
Table 8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from latency.paper_model.rows import FitRow
from latency.table.op_terms import TERMS, amounts

Floats: TypeAlias = NDArray[np.float64]

# Error of any sum over ops: the speed of the same 1x1 convolution differs by 4-8 % between Tables
# 1, 2 and 3.
MODEL_DEVIATION = {"arm": 0.05, "gpu": 0.06}
# This phone chip throttles in runs of seconds, as the largest inputs show.
THROTTLED_S, THROTTLED_DEVIATION = 1.5, 0.15
HUBER, ROUNDS = 1.5, 50


def design_matrix(target: str, rows: Sequence[FitRow]) -> Floats:
    """The amount of each term in each row, float64 [rows, terms]."""
    column = {name: j for j, name in enumerate(TERMS[target])}
    matrix = np.zeros((len(rows), len(column)))
    for i, row in enumerate(rows):
        # Networks repeat their units.
        for op, count in Counter(op for block in row.blocks for op in block.ops).items():
            for name, amount in amounts(target, op, row.batch).items():
                matrix[i, column[name]] += count * row.repeats * float(amount)
        if "network" in column and not row.is_network:
            matrix[i, column["network"]] = 1.0
    return matrix


def deviations(target: str, rows: Sequence[FitRow]) -> Floats:
    """Relative standard deviation of each row, the inverse of its weight, float64 [rows]."""
    parts = []
    for row in rows:
        throttled = target == "arm" and row.measured_s > THROTTLED_S
        slow = THROTTLED_DEVIATION if throttled else 0.0
        parts.append((MODEL_DEVIATION[target], row.precision, row.uncertainty, slow))
    return np.sqrt(np.sum(np.square(parts), axis=1))


def solve(target: str, matrix: Floats, measured_s: Floats, deviation: Floats) -> Floats:
    """Coefficients in seconds per unit, float64 [terms], within the bounds of the terms."""
    from scipy.optimize import lsq_linear

    limits = [(term.lower, term.upper) for term in TERMS[target].values()]
    lower, upper = np.array(limits, dtype=np.float64).T
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


def _measured(rows: Sequence[FitRow]) -> Floats:
    return np.array([row.measured_s for row in rows])


def fit_coefficients(target: str, rows: Sequence[FitRow]) -> dict[str, float]:
    """Term -> seconds per unit, to six digits: more than the data determine."""
    matrix, deviation = design_matrix(target, rows), deviations(target, rows)
    found = solve(target, matrix, _measured(rows), deviation)
    return {name: float(f"{x:.5e}") for name, x in zip(TERMS[target], found, strict=True)}


def row_errors(target: str, rows: Sequence[FitRow], coefficients: dict[str, float]) -> Floats:
    """Relative error of the prediction of each row, float64 [rows]."""
    predicted = design_matrix(target, rows) @ np.array(list(coefficients.values()))
    return predicted / _measured(rows) - 1.0


def left_out_errors(target: str, rows: Sequence[FitRow]) -> Floats:
    """Relative error of each row, predicted by a fit without its family, float64 [rows]. A family
    is all networks and units of one architecture, or one table of 1x1 convolutions."""
    matrix, deviation, measured = (
        design_matrix(target, rows), deviations(target, rows), _measured(rows),
    )  # fmt: skip
    families = np.array([row.family for row in rows])
    error = np.zeros(len(rows))
    for family in sorted(set(families)):
        out = families == family
        found = solve(target, matrix[~out], measured[~out], deviation[~out])
        error[out] = matrix[out] @ found / measured[out] - 1.0
    return error
