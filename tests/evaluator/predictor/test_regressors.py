"""Ridge and the Gaussian process by other routes."""

import numpy as np
import pytest

from evaluator.predictor.columns import Columns, PriorColumns
from evaluator.predictor.gaussian_process import JITTER, MEDIAN, SPREAD, GaussianProcess
from evaluator.predictor.ridge import PENALTIES, WEIGHTS, Ridge, folds


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    trend = rng.normal(size=(n, 3))
    hot = np.eye(4)[rng.integers(0, 4, n)]
    y = trend @ [1.0, -0.5, 0.0] + hot @ [0.3, 0, 0, -0.3] + rng.normal(0, 0.1, n)
    return trend, hot, y


def known(trend, hot):
    """A prior of all trends but the last, and a root of two columns."""
    rng = np.random.default_rng(len(trend))
    mean = trend @ [0.8, -0.3, 0.0] + 0.1 * rng.normal(size=len(trend))
    root = np.column_stack([0.3 * trend[:, 0], trend[:, 1] ** 2])
    return Columns(trend, hot, PriorColumns(mean, root, np.array([True, True, False])))


def test_ridge_equals_least_squares_with_rows_for_the_penalty():
    trend, hot, y = columns(30)
    penalty, weight = 0.7, 0.3
    x = np.concatenate([trend, hot * weight], axis=1)
    centre = x - x.mean(axis=0)
    rows = np.concatenate([centre, np.sqrt(penalty) * np.eye(x.shape[1])])
    solved = np.linalg.lstsq(
        rows, np.concatenate([y - y.mean(), np.zeros(x.shape[1])]), rcond=None
    )
    model = Ridge.fit((penalty, weight), Columns(trend, hot), y)
    other = columns(9, seed=1)
    new = np.concatenate([other[0], other[1] * weight], axis=1)
    expected = y.mean() + (new - x.mean(axis=0)) @ solved[0]
    assert model.mean(Columns(*other[:2])) == pytest.approx(expected)


def test_ridge_constants_are_the_best_of_a_slow_search():
    trend, hot, y = columns(23)
    every = Columns(trend, hot)
    fold = folds(23, np.random.default_rng(4))
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    errors = {}
    for penalty in PENALTIES:
        for weight in WEIGHTS:
            error = 0.0
            for held in range(5):
                out = fold == held
                model = Ridge.fit((penalty, weight), every.take(~out), y[~out])
                error += ((model.mean(every.take(out)) - y[out]) ** 2).sum()
            errors[penalty, weight] = error
    chosen = Ridge.choose(every, y, np.random.default_rng(4))
    assert errors[chosen] == pytest.approx(min(errors.values()), rel=1e-6)
    assert len({round(e, 9) for e in errors.values()}) > 20


def slow_covariance(constants, t, h, u, g):
    """One pair of networks after another."""
    linear, bend, length, choices, _ = np.exp(constants[:5])
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
    model = GaussianProcess.fit(constants, Columns(trend, hot), y)
    mean, deviation = model.mean_and_deviation(Columns(other_trend, other_hot))
    assert mean == pytest.approx(y.mean() + y.std() * (across @ inverse @ target))
    assert deviation == pytest.approx(y.std() * np.sqrt(variance))
    assert model.mean(Columns(other_trend, other_hot)) == pytest.approx(mean)


CONSTANTS = (-1.0, -0.5, 0.3, -2.0, -3.0, -1.7, 0.4)


def slow_prior_covariance(constants, here, there):
    """As `slow_covariance`, with what a prior adds."""
    linear, own, unsure = np.exp([constants[0], *constants[5:]])
    table = slow_covariance(constants, here.trend, here.hot, there.trend, there.hot)
    for i in range(len(here)):
        for j in range(len(there)):
            table[i, j] += here.prior.mean[i] * there.prior.mean[j]
            for a, b in zip(here.prior.root[i], there.prior.root[j], strict=True):
                table[i, j] += unsure * a * b
            for a, b, covered in zip(
                here.trend[i], there.trend[j], there.prior.covered, strict=True
            ):
                table[i, j] += (own - linear) * a * b * covered
    return table


def test_a_prior_equals_the_conditional_of_a_joint_normal():
    """Of labels and another network together, by the block formula."""
    trend, hot, y = columns(12)
    here, other = known(trend, hot), known(*columns(5, seed=1)[:2])
    joint = Columns(
        np.concatenate([here.trend, other.trend]),
        np.concatenate([here.hot, other.hot]),
        PriorColumns(
            np.concatenate([here.prior.mean, other.prior.mean]),
            np.concatenate([here.prior.root, other.prior.root]),
            here.prior.covered,
        ),
    )
    table = slow_prior_covariance(CONSTANTS, joint, joint)
    table[:12, :12] += (np.exp(-3.0) + JITTER) * np.eye(12)
    target = (y - y.mean()) / y.std() - here.prior.mean
    inverse = np.linalg.inv(table[:12, :12])
    mean = other.prior.mean + table[12:, :12] @ inverse @ target
    variance = np.diag(table[12:, 12:] - table[12:, :12] @ inverse @ table[:12, 12:])
    model = GaussianProcess.fit(CONSTANTS, here, y)
    assert model.mean(other) == pytest.approx(y.mean() + y.std() * mean)
    found, deviation = model.mean_and_deviation(other)
    assert found == pytest.approx(model.mean(other))
    assert deviation == pytest.approx(y.std() * np.sqrt(variance + np.exp(-3.0)))


def test_the_linear_part_equals_bayesian_regression_label_by_label():
    """Without bend and choices the process is a linear model, whose coefficients follow from one
    label after another (Kalman's update)."""
    trend, hot, y = columns(15)
    here, other = known(trend, hot), known(*columns(6, seed=2)[:2])
    constants = (-1.0, -60.0, 0.3, -60.0, -1.0, -1.7, 0.4)

    def design(each):
        own = each.trend, each.prior.mean, each.prior.root
        return np.column_stack([np.ones(len(each)), *own])

    linear, own, unsure = np.exp([-1.0, -1.7, 0.4])
    covariance = np.diag([1, own, own, linear, 1, unsure, unsure])
    mean = np.array([0.0, 0, 0, 0, 1, 0, 0])  # all of the prior's mean, none of the rest
    for row, target in zip(design(here), (y - y.mean()) / y.std(), strict=True):
        gain = covariance @ row / (row @ covariance @ row + np.exp(-1.0) + JITTER)
        mean = mean + gain * (target - row @ mean)
        covariance = covariance - np.outer(gain, row @ covariance)
    model = GaussianProcess.fit(constants, here, y)
    expected = y.mean() + y.std() * (design(other) @ mean)
    assert model.mean(other) == pytest.approx(expected)


def test_no_label_leaves_the_mean_of_the_prior():
    here = known(*columns(40)[:2])
    model = GaussianProcess.fit(CONSTANTS, here.take(slice(0, 0)), np.zeros(0))
    assert model.mean(here) == pytest.approx(here.prior.mean)
    mean, deviation = model.mean_and_deviation(here)
    assert mean == pytest.approx(here.prior.mean)
    own = np.diag(slow_prior_covariance(CONSTANTS, here, here)) + np.exp(-3.0)
    assert deviation == pytest.approx(np.sqrt(own))


@pytest.mark.parametrize("with_prior", [False, True])
def test_the_gradient_is_that_of_differences(with_prior, monkeypatch):
    """Of what the constants minimise, at a point away from the peak."""
    from scipy import optimize

    trend, hot, y = columns(14)
    given = []
    found = optimize.OptimizeResult(x=np.array(CONSTANTS))
    monkeypatch.setattr(
        optimize, "minimize", lambda loss, start, **_: given.append((loss, start)) or found
    )
    every = known(trend, hot) if with_prior else Columns(trend, hot)
    GaussianProcess.choose(every, y, np.random.default_rng(0))
    ((loss, start),) = given
    at = np.array(CONSTANTS[: len(start)])
    for index, slope in enumerate(loss(at)[1]):
        step = np.zeros(len(at))
        step[index] = 1e-5
        difference = (loss(at + step)[0] - loss(at - step)[0]) / 2e-5
        assert slope == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("with_prior", [False, True])
def test_gaussian_process_constants_are_a_peak_of_the_posterior(with_prior):
    """By scipy's density of a multivariate normal, each constant moved both ways."""
    from scipy.stats import multivariate_normal

    trend, hot, y = columns(25)
    target = (y - y.mean()) / y.std()
    every = known(trend, hot) if with_prior else Columns(trend, hot)

    def posterior(constants):
        if with_prior:
            mean, own = every.prior.mean, slow_prior_covariance(constants, every, every)
        else:
            mean, own = np.zeros(25), slow_covariance(constants, trend, hot, trend, hot)
        own += (np.exp(constants[4]) + JITTER) * np.eye(25)
        count = len(constants)
        away = (np.array(constants) - MEDIAN[:count]) / SPREAD[:count]
        return multivariate_normal(mean=mean, cov=own).logpdf(target) - 0.5 * away @ away

    chosen = np.array(GaussianProcess.choose(every, y, np.random.default_rng(0)))
    assert len(chosen) == (7 if with_prior else 5)
    peak = posterior(chosen)
    assert peak > posterior(MEDIAN[: len(chosen)]) + 1
    for index in range(len(chosen)):
        for step in (-0.1, 0.1):
            moved = chosen.copy()
            moved[index] += step
            assert posterior(moved) < peak
