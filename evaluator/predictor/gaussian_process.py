"""A Gaussian process on trend and one-hot columns: predictions with their deviations.

Covariance of two networks, with t their trends, h their one-hots:

    1 + linear * t.t' + bend * exp(-|t - t'|^2 / (2 length^2)) + choices * h.h'  (+ noise)

on targets in standard units. The five constants maximise the marginal likelihood of the labels
(Rasmussen and Williams, "Gaussian Processes for Machine Learning", equations 2.30 and 5.8) times a
broad log-normal prior, so that 20 labels choose no extreme.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evaluator.score.closed_form import Floats

MEDIAN = np.array([-2.0, -2.0, 1.0, -4.0, -4.0])  # of the prior of the logarithms
SPREAD = np.array([2.0, 2.0, 1.0, 2.0, 2.0])  # and its deviations
BOUNDS = ((-9.0, 4.0), (-9.0, 4.0), (-1.0, 4.0), (-12.0, 3.0), (-9.0, 1.0))
JITTER = 1e-6
CHUNK = 2048


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process; `constants`: logarithms of (linear, bend, length, choices, noise)."""

    constants: tuple[float, ...]
    trend: Floats
    hot: Floats
    centre: float
    scale: float
    dual: Floats = field(repr=False)
    factor: Floats = field(repr=False)

    @property
    def offset(self) -> float:
        """Of the mean, which is offset + trend . a + hot . b + bent(trend)."""
        return self.centre + self.scale * float(self.dual.sum())

    @property
    def trend_weights(self) -> Floats:
        return self.scale * np.exp(self.constants[0]) * (self.dual @ self.trend)

    @property
    def hot_weights(self) -> Floats:
        return self.scale * np.exp(self.constants[3]) * (self.dual @ self.hot)

    def bent(self, trend: Floats) -> Floats:
        """[n]: the part of the mean that is not a sum over columns."""
        _, bend, length, _, _ = np.exp(self.constants)
        found = np.empty(len(trend))
        for start in range(0, len(trend), CHUNK):
            rows = slice(start, start + CHUNK)
            near = np.exp(_squared(trend[rows], self.trend) * (-0.5 / length**2))
            found[rows] = near @ self.dual
        return self.scale * bend * found

    @staticmethod
    def choose(
        trend: Floats, hot: Floats, y: Floats, rng: np.random.Generator
    ) -> tuple[float, ...]:
        """The constants of highest posterior density; `rng` is not used."""
        from scipy.linalg import cho_solve
        from scipy.optimize import minimize

        target = (y - y.mean()) / (y.std() or 1.0)
        inner, apart, shared = trend @ trend.T, _squared(trend, trend), hot @ hot.T
        eye = np.eye(len(y))

        def loss(logs: Floats) -> tuple[float, Floats]:
            """Negative log posterior and its gradient."""
            linear, bend, length, choices, noise = np.exp(logs)
            near = bend * np.exp(-0.5 * apart / length**2)
            parts = linear * inner, near, near * apart / length**2, choices * shared, noise * eye
            total = 1 + parts[0] + near + parts[3] + parts[4] + JITTER * eye
            factor = np.linalg.cholesky(total)
            inverse = cho_solve((factor, True), eye)
            dual = inverse @ target
            away = (logs - MEDIAN) / SPREAD
            value = 0.5 * target @ dual + np.log(np.diag(factor)).sum() + 0.5 * away @ away
            pull = inverse - np.outer(dual, dual)
            slope = np.array([0.5 * (pull * part).sum() for part in parts])
            return float(value), slope + away / SPREAD

        found = minimize(loss, MEDIAN, jac=True, method="L-BFGS-B", bounds=BOUNDS)
        return tuple(float(value) for value in found.x)

    @classmethod
    def fit(
        cls, constants: tuple[float, ...], trend: Floats, hot: Floats, y: Floats
    ) -> GaussianProcess:
        """Fit `trend` [n, trends] and `hot` [n, choices] to `y` [n]."""
        centre, scale = float(y.mean()), float(y.std()) or 1.0
        noise = np.exp(constants[4]) + JITTER
        own = _covariance(constants, trend, hot, trend, hot) + noise * np.eye(len(y))
        factor = np.linalg.cholesky(own)
        half = np.linalg.solve(factor, (y - centre) / scale)
        dual = np.linalg.solve(factor.T, half)
        return cls(constants, trend, hot, centre, scale, dual, factor)

    def mean(self, trend: Floats, hot: Floats) -> Floats:
        """[n]: predictions."""
        sums = trend @ self.trend_weights + hot @ self.hot_weights
        return self.offset + sums + self.bent(trend)

    def mean_and_deviation(self, trend: Floats, hot: Floats) -> tuple[Floats, Floats]:
        """[n] and [n]: the mean, and the deviation of a new label from it, noise included."""
        mean, deviation = np.empty(len(trend)), np.empty(len(trend))
        linear, bend, _, choices, noise = np.exp(self.constants)
        for start in range(0, len(trend), CHUNK):
            rows = slice(start, start + CHUNK)
            across = _covariance(self.constants, trend[rows], hot[rows], self.trend, self.hot)
            explained = np.square(np.linalg.solve(self.factor, across.T)).sum(axis=0)
            own = 1 + linear * np.square(trend[rows]).sum(axis=1) + bend
            own += choices * np.square(hot[rows]).sum(axis=1) + noise
            mean[rows] = across @ self.dual
            deviation[rows] = np.sqrt(np.maximum(own - explained, JITTER))
        return self.centre + self.scale * mean, self.scale * deviation


def _squared(a: Floats, b: Floats) -> Floats:
    """[n, m]: squared distances."""
    total = a @ (-2 * b.T)
    total += np.square(a).sum(axis=1)[:, None]
    total += np.square(b).sum(axis=1)
    return np.maximum(total, 0, out=total)


def _covariance(
    constants: tuple[float, ...], trend: Floats, hot: Floats, trends: Floats, hots: Floats
) -> Floats:
    """[n, m], without the noise."""
    linear, bend, length, choices, _ = np.exp(constants)
    total = 1 + linear * (trend @ trends.T) + choices * (hot @ hots.T)
    total += bend * np.exp(_squared(trend, trends) * (-0.5 / length**2))
    return np.asarray(total)
