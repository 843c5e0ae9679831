"""Ridge and the Gaussian process by other routes."""

import numpy as np
import pytest

from evaluator.predictor.gaussian_process import JITTER, MEDIAN, SPREAD, GaussianProcess
from evaluator.predictor.ridge import PENALTIES, WEIGHTS, Ridge, folds


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    trend = rng.normal(size=(n, 3))
    hot = np.eye(4)[rng.integers(0, 4, n)]
    y = trend @ [1.0, -0.5, 0.0] + hot @ [0.3, 0, 0, -0.3] + rng.normal(0, 0.1, n)
    return trend, hot, y


def test_ridge_equals_least_squares_with_rows_for_the_penalty():
    trend, hot, y = columns(30)
    penalty, weight = 0.7, 0.3
    x = np.concatenate([trend, hot * weight], axis=1)
    centre = x - x.mean(axis=0)
    rows = np.concatenate([centre, np.sqrt(penalty) * np.eye(x.shape[1])])
    solved = np.linalg.lstsq(
        rows, np.concatenate([y - y.mean(), np.zeros(x.shape[1])]), rcond=None
    )
    model = Ridge.fit((penalty, weight), trend, hot, y)
    other = columns(9, seed=1)
    new = np.concatenate([other[0], other[1] * weight], axis=1)
    expected = y.mean() + (new - x.mean(axis=0)) @ solved[0]
    assert model.mean(*other[:2]) == pytest.approx(expected)


def test_ridge_constants_are_the_best_of_a_slow_search():
    trend, hot, y = columns(23)
    fold = folds(23, np.random.default_rng(4))
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    errors = {}
    for penalty in PENALTIES:
        for weight in WEIGHTS:
            error = 0.0
            for held in range(5):
                out = fold == held
                model = Ridge.fit((penalty, weight), trend[~out], hot[~out], y[~out])
                error += ((model.mean(trend[out], hot[out]) - y[out]) ** 2).sum()
            errors[penalty, weight] = error
    chosen = Ridge.choose(trend, hot, y, np.random.default_rng(4))
    assert errors[chosen] == pytest.approx(min(errors.values()), rel=1e-6)
    assert len({round(e, 9) for e in errors.values()}) > 20


def slow_covariance(constants, t, h, u, g):
    """One pair of networks after another."""
    linear, bend, length, choices, _ = np.exp(constants)
    table = np.zeros((len(t), len(u)))
    for i in range(len(t)):
        for j in range(len(u)):
            apart = sum((a - b) ** 2 for a, b in zip(t[i], u[j], strict=True))
            table[i, j] = 1 + linear * t[i] @ u[j] + choices * h[i] @ g[j]
            table[i, j] += bend * np.exp(-apart / (2 * length**2))
    return table


def test_gaussian_process_equals_the_explicit_inverse():
    trend, hot, y = columns(12)
    other_trend, other_hot, _ = columns(5, seed=1)
    constants = (-1.0, -0.5, 0.3, -2.0, -3.0)
    target = (y - y.mean()) / y.std()
    noise = np.exp(-3.0) + JITTER
    inverse = np.linalg.inv(
        slow_covariance(constants, trend, hot, trend, hot) + noise * np.eye(12)
    )
    across = slow_covariance(constants, other_trend, other_hot, trend, hot)
    own = slow_covariance(constants, other_trend, other_hot, other_trend, other_hot)
    variance = np.diag(own - across @ inverse @ across.T) + np.exp(-3.0)
    model = GaussianProcess.fit(constants, trend, hot, y)
    mean, deviation = model.mean_and_deviation(other_trend, other_hot)
    assert mean == pytest.approx(y.mean() + y.std() * (across @ inverse @ target))
    assert deviation == pytest.approx(y.std() * np.sqrt(variance))
    assert model.mean(other_trend, other_hot) == pytest.approx(mean)


@pytest.mark.slow
def test_gaussian_process_constants_are_a_peak_of_the_posterior():
    """By scipy's density of a multivariate normal, each constant moved both ways."""
    from scipy.stats import multivariate_normal

    trend, hot, y = columns(25)
    target = (y - y.mean()) / y.std()

    def posterior(constants):
        own = slow_covariance(constants, trend, hot, trend, hot)
        own += (np.exp(constants[4]) + JITTER) * np.eye(25)
        away = (np.array(constants) - MEDIAN) / SPREAD
        return multivariate_normal(cov=own).logpdf(target) - 0.5 * away @ away

    chosen = np.array(GaussianProcess.choose(trend, hot, y, np.random.default_rng(0)))
    peak = posterior(chosen)
    assert peak > posterior(MEDIAN) + 1
    for index in range(5):
        for step in (-0.1, 0.1):
            moved = chosen.copy()
            moved[index] += step
            assert posterior(moved) < peak
