"""The columns that a regression is fitted on, a row for each network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.score.closed_form import Floats

Rows = slice | NDArray[np.integer] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PriorColumns:
    """What is expected of n networks before any label, in standard units of the labelled ones.

    Attributes:
        mean: [n].
        root: [n, roots]; root root' is the covariance about it.
        covered: [trends], the trend columns that it speaks of.
    """

    mean: Floats
    root: Floats
    covered: NDArray[np.bool_]

    def take(self, rows: Rows) -> PriorColumns:
        return PriorColumns(self.mean[rows], self.root[rows], self.covered)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of n networks: `trend` [n, trends] and `hot` [n, choices], see
    `evaluator.predictor.encoding`; and a prior, which only the Gaussian process knows."""

    trend: Floats
    hot: Floats
    prior: PriorColumns | None = None

    def __len__(self) -> int:
        return len(self.trend)

    def take(self, rows: Rows) -> Columns:
        prior = None if self.prior is None else self.prior.take(rows)
        return Columns(self.trend[rows], self.hot[rows], prior)
