"""Candidates as the columns that the Gaussian process is fitted on.

The *trend*: one column for each parameter of three or more numbers, their logarithms where all are
above 0; one for each choice of every other parameter, at most 64; one for each cost. A column of
numbers is in standard units, over the choices or over the pool; those of a parameter's choices
together are as far apart, on average, as two numbers in standard units. The *one-hot*: one column
for each choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluator.predictor.columns import Columns, PriorColumns
from search.sampling.costs import Floats
from search.sampling.grid import CandidateGrid, GridAxis
from search.sampling.pool import Candidates

MOST_CHOICES = 64  # a parameter of more choices has no one-hot


@dataclass(frozen=True, slots=True)
class Units:
    """The mean and the deviation of a cost over the pool, of its logarithm if `log`; a constant
    cost has no column."""

    log: bool
    mean: float
    scale: float

    @classmethod
    def of(cls, values: Floats) -> Units:
        log = bool(values.min() > 0)
        found = np.log(values) if log else values
        mean, scale = float(found.mean()), float(found.std())
        return cls(log, mean, scale if scale > 1e-9 * max(1.0, abs(mean)) else 0.0)

    def standard(self, values: Floats) -> Floats:
        # A labelled candidate from outside the pool may cost nothing.
        found = np.log(np.maximum(values, 1e-300)) if self.log else values
        return np.asarray((found - self.mean) / self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class CandidateEncoding:
    """How candidates of a grid become columns; `units` of each cost over the pool."""

    grid: CandidateGrid
    units: Mapping[str, Units]

    @classmethod
    def of(cls, grid: CandidateGrid, pool: Candidates) -> CandidateEncoding:
        return cls(grid, {name: Units.of(values) for name, values in pool.costs.items()})

    def columns(self, found: Candidates) -> Columns:
        """The trend and the one-hot of candidates."""
        empty = np.zeros((len(found), 0))
        trend, hot = [empty], [empty]
        for axis, index in zip(self.grid.axes, found.rows.T, strict=True):
            if axis.size < 2:
                continue
            ordered = _is_ordered(axis)
            trend.append(_numbers(axis, index) if ordered else _apart(axis.size, index))
            if axis.size <= MOST_CHOICES:
                hot.append(np.eye(axis.size)[index])
        trend += [
            units.standard(found.costs[name])[:, None]
            for name, units in self.units.items()
            if units.scale
        ]
        return Columns(np.column_stack(trend), np.column_stack(hot))


def with_prior(columns: Columns, expected: Floats, labelled: Floats) -> Columns:
    """Columns with the values that a user expects, [n], in the units in which those of the
    labelled candidates have a mean of 0 and a deviation of 1."""
    scale = float(labelled.std())
    known = scale > 1e-9 * max(1.0, float(np.abs(labelled).max()))
    mean = (expected - labelled.mean()) / scale if known else np.zeros(len(expected))
    covered = np.zeros(columns.trend.shape[1], dtype=bool)
    prior = PriorColumns(mean, np.zeros((len(expected), 0)), covered)
    return Columns(columns.trend, columns.hot, prior)


def _is_ordered(axis: GridAxis) -> bool:
    return (
        axis.size > 2
        and all(map(_is_number, (axis.choices[0], *axis.choices[1:2])))
        and (isinstance(axis.choices, range) or all(map(_is_number, axis.choices)))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(axis: GridAxis, index: np.ndarray) -> Floats:
    """[n, 1]: the choices as standard numbers."""
    choices = axis.choices
    if isinstance(choices, range):
        # A million choices have the mean and deviation of a thousand of them, evenly spread.
        count = min(axis.size, 1000)
        places = (2 * np.arange(count) + 1) * axis.size // (2 * count)
        known = choices.start + choices.step * places.astype(float)
        values = choices.start + choices.step * index.astype(float)
    else:
        known = np.array(choices, dtype=float)
        values = known[index]
    if known.min() > 0:
        known, values = np.log(known), np.log(values)
    return ((values - known.mean()) / known.std())[:, None]


def _apart(size: int, index: np.ndarray) -> Floats:
    """[n, size]: one-hots whose mean squared distance, of two random choices, is 2. Many choices
    have random directions instead, which are nearly as far apart: [n, MOST_CHOICES]."""
    if size > MOST_CHOICES:
        directions = np.random.default_rng(size).standard_normal((size, MOST_CHOICES))
        return np.asarray(directions[index] / np.sqrt(MOST_CHOICES))
    return np.asarray(np.eye(size)[index] * np.sqrt(size / (size - 1)))
