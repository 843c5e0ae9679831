"""A Gaussian process on trend and one-hot columns: predictions with their deviations.

Covariance of two networks, with t their trends, h their one-hots:

    1 + linear * t.t' + bend * exp(-|t - t'|^2 / (2 length^2)) + choices * h.h'  (+ noise)

on targets in standard units. A prior (`evaluator.predictor.prior`) gives a mean m, with a variance
of 1 of labels' from it, and a root r of how sure it is of that mean. Then the mean of the process
is s * m, s ~ N(1, 1): 1 says all and 0 nothing. The covariance has

    m m' + unsure * r.r'

more, and the trends that the prior speaks of have an `own` constant in place of `linear`: so
labels can take its word away altogether, and what it does not speak of is learned beside it.

The five constants, or seven, maximise the marginal likelihood of the labels (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", equations 2.30, 2.38 and 5.8) times a broad
log-normal prior, so that 20 labels choose no extreme.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evaluator.predictor.columns import Columns
from evaluator.score.closed_form import Floats

# Of the prior of the logarithms, and its deviations. With a prior of the mean: `own` is as
# `linear`, and `unsure` is 1, for what the prior itself says of how sure it is.
MEDIAN = np.array([-2.0, -2.0, 1.0, -4.0, -4.0, -2.0, 0.0])
SPREAD = np.array([2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 2.0])
BOUNDS = ((-9.0, 4.0), (-9.0, 4.0), (-1.0, 4.0), (-12.0, 3.0), (-9.0, 1.0))
PRIOR_BOUNDS = ((-9.0, 4.0), (-9.0, 4.0))
JITTER = 1e-6
CHUNK = 2048


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process; `constants`: logarithms of (linear, bend, length, choices, noise), and
    with a prior (own, unsure)."""

    constants: tuple[float, ...]
    columns: Columns
    centre: float
    scale: float
    dual: Floats = field(repr=False)
    factor: Floats = field(repr=False)

    @property
    def offset(self) -> float:
        """Of the mean, which is offset + trend . a + hot . b + bent(trend), and with a prior
        (mean, root) . c more."""
        return self.centre + self.scale * float(self.dual.sum())

    @property
    def trend_weights(self) -> Floats:
        variances = _trend_variances(self.constants, self.columns)
        return self.scale * variances * (self.dual @ self.columns.trend)

    @property
    def hot_weights(self) -> Floats:
        return self.scale * np.exp(self.constants[3]) * (self.dual @ self.columns.hot)

    @property
    def prior_weights(self) -> Floats:
        """[1 + roots]; [0] without a prior."""
        prior = self.columns.prior
        if prior is None:
            return np.zeros(0)
        by_root = np.exp(self.constants[6]) * (self.dual @ prior.root)
        return self.scale * np.concatenate([[1 + self.dual @ prior.mean], by_root])

    def bent(self, trend: Floats) -> Floats:
        """[n]: the part of the mean that is not a sum over columns."""
        _, bend, length = np.exp(self.constants[:3])
        found = np.empty(len(trend))
        for start in range(0, len(trend), CHUNK):
            rows = slice(start, start + CHUNK)
            near = np.exp(_squared(trend[rows], self.columns.trend) * (-0.5 / length**2))
            found[rows] = near @ self.dual
        return self.scale * bend * found

    @staticmethod
    def choose(columns: Columns, y: Floats, rng: np.random.Generator) -> tuple[float, ...]:
        """The constants of highest posterior density; `rng` is not used."""
        from scipy.linalg import cho_solve
        from scipy.optimize import minimize

        target = (y - y.mean()) / (y.std() or 1.0)
        eye, apart = np.eye(len(y)), _squared(columns.trend, columns.trend)
        shared, fixed = columns.hot @ columns.hot.T, np.ones_like(apart)
        free, prior = columns.trend, columns.prior
        bounds: tuple[tuple[float, float], ...] = BOUNDS
        further: list[Floats] = []
        if prior is not None:
            target, free = target - prior.mean, columns.trend[:, ~prior.covered]
            own = columns.trend[:, prior.covered]
            further = [own @ own.T, prior.root @ prior.root.T]
            fixed = fixed + np.outer(prior.mean, prior.mean)
            bounds = (*BOUNDS, *PRIOR_BOUNDS)
        inner, median, spread = free @ free.T, MEDIAN[: len(bounds)], SPREAD[: len(bounds)]

        def loss(logs: Floats) -> tuple[float, Floats]:
            """Negative log posterior and its gradient."""
            linear, bend, length, choices, noise = np.exp(logs[:5])
            near = bend * np.exp(-0.5 * apart / length**2)
            parts = [linear * inner, near, near * apart / length**2, choices * shared, noise * eye]
            parts += [
                factor * part for factor, part in zip(np.exp(logs[5:]), further, strict=True)
            ]
            total = fixed + sum(part for index, part in enumerate(parts) if index != 2)
            factor = np.linalg.cholesky(total + JITTER * eye)
            inverse = cho_solve((factor, True), eye)
            dual = inverse @ target
            away = (logs - median) / spread
            value = 0.5 * target @ dual + np.log(np.diag(factor)).sum() + 0.5 * away @ away
            pull = inverse - np.outer(dual, dual)
            slope = np.array([0.5 * (pull * part).sum() for part in parts])
            return float(value), slope + away / spread

        found = minimize(loss, median, jac=True, method="L-BFGS-B", bounds=bounds)
        return tuple(float(value) for value in found.x)

    @classmethod
    def fit(cls, constants: tuple[float, ...], columns: Columns, y: Floats) -> GaussianProcess:
        """Fit columns of n networks to `y` [n]; of none, the mean is that of the prior."""
        centre, scale = (float(y.mean()), float(y.std()) or 1.0) if len(y) else (0.0, 1.0)
        noise = np.exp(constants[4]) + JITTER
        own = _covariance(constants, columns, columns) + noise * np.eye(len(y))
        factor = np.linalg.cholesky(own)
        target = (y - centre) / scale
        if columns.prior is not None:
            target = target - columns.prior.mean
        half = np.linalg.solve(factor, target)
        dual = np.linalg.solve(factor.T, half)
        return cls(constants, columns, centre, scale, dual, factor)

    def mean(self, columns: Columns) -> Floats:
        """[n]: predictions."""
        sums = columns.trend @ self.trend_weights + columns.hot @ self.hot_weights
        if columns.prior is not None:
            by_mean, *by_root = self.prior_weights
            sums = sums + columns.prior.mean * by_mean + columns.prior.root @ by_root
        return self.offset + sums + self.bent(columns.trend)

    def mean_and_deviation(self, columns: Columns) -> tuple[Floats, Floats]:
        """[n] and [n]: the mean, and the deviation of a new label from it, noise included."""
        from scipy.linalg import solve_triangular

        mean, deviation = np.empty(len(columns)), np.empty(len(columns))
        _, bend, _, choices, noise = np.exp(self.constants[:5])
        variances = _trend_variances(self.constants, self.columns)
        for start in range(0, len(columns), CHUNK):
            rows = slice(start, start + CHUNK)
            each = columns.take(rows)
            across = _covariance(self.constants, each, self.columns)
            half = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
            explained = np.square(half).sum(axis=0)
            own = 1 + np.square(each.trend) @ variances + bend
            own += choices * np.square(each.hot).sum(axis=1) + noise
            found = across @ self.dual
            if each.prior is not None:
                found = found + each.prior.mean
                own += np.square(each.prior.mean)
                own += np.exp(self.constants[6]) * np.square(each.prior.root).sum(axis=1)
            mean[rows] = found
            deviation[rows] = np.sqrt(np.maximum(own - explained, JITTER))
        return self.centre + self.scale * mean, self.scale * deviation


def _squared(a: Floats, b: Floats) -> Floats:
    """[n, m]: squared distances."""
    total = a @ (-2 * b.T)
    total += np.square(a).sum(axis=1)[:, None]
    total += np.square(b).sum(axis=1)
    return np.maximum(total, 0, out=total)


def _trend_variances(constants: tuple[float, ...], columns: Columns) -> Floats:
    """[trends]: `linear`, or `own` where a prior speaks of the column."""
    variances = np.full(columns.trend.shape[1], np.exp(constants[0]))
    if columns.prior is not None:
        variances[columns.prior.covered] = np.exp(constants[5])
    return variances


def _covariance(constants: tuple[float, ...], here: Columns, there: Columns) -> Floats:
    """[n, m], without the noise."""
    _, bend, length, choices, _ = np.exp(constants[:5])
    variances = _trend_variances(constants, there)
    total = 1 + (here.trend * variances) @ there.trend.T + choices * (here.hot @ there.hot.T)
    total += bend * np.exp(_squared(here.trend, there.trend) * (-0.5 / length**2))
    if here.prior is not None and there.prior is not None:
        total += np.outer(here.prior.mean, there.prior.mean)
        total += np.exp(constants[6]) * (here.prior.root @ there.prior.root.T)
    return np.asarray(total)
