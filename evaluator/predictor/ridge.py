"""Ridge regression on trend and one-hot columns, its two constants chosen by cross-validation.

    minimise  sum of (y - offset - trend . a - hot . b)^2 + penalty * (|a|^2 + |b / weight|^2)

`weight` is how far a choice may leave its parameter's trend: 0 not at all, 1 as freely as the
trend itself. Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
Technometrics 1970, section 3. The dual form has one row per label, so columns cost little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.columns import Columns
from evaluator.score.closed_form import Floats

PENALTIES = 10.0 ** np.arange(-3, 4, 0.5)
WEIGHTS = (0.0, 0.1, 0.3, 1.0)
FOLDS = 5


def folds(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n]: the fold of each label; sizes of folds differ by at most one."""
    return rng.permutation(n) % FOLDS


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted ridge: `constants` are (penalty, weight)."""

    constants: tuple[float, ...]
    offset: float
    trend_weights: Floats
    hot_weights: Floats

    @staticmethod
    def choose(columns: Columns, y: Floats, rng: np.random.Generator) -> tuple[float, ...]:
        """The (penalty, weight) of least squared error on held-out folds."""
        trend, hot = columns.trend, columns.hot
        fold = folds(len(y), rng)
        best = (np.inf, 0.0, 0.0)
        for weight in WEIGHTS if hot.shape[1] else (0.0,):
            x = np.concatenate([trend, hot * weight], axis=1)
            error = np.zeros(len(PENALTIES))
            for held in range(FOLDS):
                out = fold == held
                centre, mean = x[~out].mean(axis=0), y[~out].mean()
                fitted, tested = x[~out] - centre, x[out] - centre
                values, vectors = np.linalg.eigh(fitted @ fitted.T)
                target = vectors.T @ (y[~out] - mean)
                dual = target[:, None] / (np.maximum(values, 0)[:, None] + PENALTIES)
                found = tested @ fitted.T @ vectors @ dual + mean
                error += np.square(found - y[out, None]).sum(axis=0)
            index = error.argmin()
            best = min(best, (float(error[index]), float(PENALTIES[index]), weight))
        return best[1:]

    @classmethod
    def fit(cls, constants: tuple[float, ...], columns: Columns, y: Floats) -> Ridge:
        """Fit columns of n networks to `y` [n]."""
        penalty, weight = constants
        trend, hot = columns.trend, columns.hot
        x = np.concatenate([trend, hot * weight], axis=1)
        centre, mean = x.mean(axis=0), float(y.mean())
        centred = x - centre
        dual = np.linalg.solve(centred @ centred.T + penalty * np.eye(len(y)), y - mean)
        weights = centred.T @ dual
        split = trend.shape[1]
        offset = mean - float(centre @ weights)
        return cls(constants, offset, weights[:split], weights[split:] * weight)

    def mean(self, columns: Columns) -> Floats:
        """[n]: predictions."""
        sums = self.offset + columns.trend @ self.trend_weights
        return np.asarray(sums + columns.hot @ self.hot_weights)
