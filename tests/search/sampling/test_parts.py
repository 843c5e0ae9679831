"""The parts of G4Sampler against slow loops and other libraries."""

from __future__ import annotations

import itertools

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from scipy import integrate, stats

from search.sampling import pool as pools
from search.sampling.acquisition import (
    FAR,
    log_feasible,
    log_improvement,
    log_improvement_of_several,
)
from search.sampling.costs import Limits
from search.sampling.encoding import CandidateEncoding
from search.sampling.grid import CandidateGrid
from search.sampling.history import PROPOSAL, read_history
from search.sampling.pool import Candidates, Pool
from search.sampling.surrogate import comparable, signed

SPACE = {
    "w": IntDistribution(8, 32, step=8),
    "z": IntDistribution(0, 2),
    "op": CategoricalDistribution(["conv", None, 3, True]),
}
GRID = CandidateGrid.of(SPACE)


def test_rows_and_parameters() -> None:
    every = GRID.every()
    assert every.shape == (GRID.count, 3) == (48, 3)
    expected = [
        dict(zip(SPACE, values, strict=True))
        for values in itertools.product((8, 16, 24, 32), (0, 1, 2), ("conv", None, 3, True))
    ]
    assert [GRID.params(row) for row in every] == expected
    assert [GRID.row(params) for params in expected] == [tuple(row) for row in every.tolist()]
    frame = GRID.frame(every)
    assert [list(row) for row in frame.itertuples(index=False)] == [
        list(each.values()) for each in expected
    ]
    assert (GRID.rows(frame) == every).all()
    assert (GRID.rows(frame.to_numpy(dtype=object)[:, :]) == every).all()


@pytest.mark.parametrize(
    "params",
    [
        {"w": 8, "z": 0},
        {"w": 9, "z": 0, "op": "conv"},
        {"w": 40, "z": 0, "op": "conv"},
        {"w": "8", "z": 0, "op": "conv"},
        {"w": float("nan"), "z": 0, "op": "conv"},
        {"w": 8, "z": 0, "op": "pool"},
    ],
)
def test_not_on_the_grid(params: dict[str, object]) -> None:
    assert GRID.row(params) is None


def cost(candidates: pd.DataFrame) -> dict[str, pd.Series]:
    return {"a": candidates["w"] * (1 + candidates["z"]), "b": 2.0 * candidates["z"]}


def test_the_pool_is_what_a_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits.of(cost, {"a": 48, "b": 2})
    expected = [
        row
        for row in itertools.product(range(4), range(3), range(4))
        if (8 + 8 * row[0]) * (1 + row[1]) <= 48 and 2 * row[1] <= 2
    ]
    listed = Pool.of(GRID, limits, None, 0)
    assert listed.complete and [tuple(r) for r in listed.base.rows.tolist()] == expected
    assert listed.base.costs["a"].tolist() == [(8 + 8 * r[0]) * (1 + r[1]) for r in expected]
    monkeypatch.setattr(pools, "ENUMERATED", 1)
    drawn = Pool.of(GRID, limits, None, 0)
    assert not drawn.complete
    assert sorted(tuple(r) for r in drawn.base.rows.tolist()) == expected


def test_a_single_limit_is_of_the_single_cost() -> None:
    limits = Limits.of(lambda c: c["w"], {"flops": 8})
    assert list(limits.costs(GRID, GRID.every())) == ["flops"]


def test_columns() -> None:
    """Two random choices of a parameter are as far apart as two standard numbers: 2 on average."""
    every = GRID.every()
    candidates = Candidates(
        every, {"flops": np.exp(every[:, 0].astype(float)), "same": np.ones(48)}
    )
    found = CandidateEncoding.of(GRID, candidates).columns(candidates)
    assert found.trend.shape == (48, 1 + 1 + 4 + 1)  # `same` has none
    assert found.hot.sum(axis=1).tolist() == [3.0] * 48
    width = np.log([8, 16, 24, 32])
    assert np.allclose(found.trend[:, 0], ((width - width.mean()) / width.std())[every[:, 0]])
    assert np.allclose(found.trend[:, 1], np.array([-1, 0, 1])[every[:, 1]] * np.sqrt(1.5))
    order = every[:, 0].astype(float)
    assert np.allclose(found.trend[:, 6], (order - 1.5) / order.std())
    for part in (found.trend[:, :1], found.trend[:, 1:2], found.trend[:, 2:6]):
        apart = np.square(part[:, None] - part).sum(axis=2)
        assert np.isclose(apart.mean(), 2)


def test_a_million_choices_have_no_one_hot() -> None:
    grid = CandidateGrid.of({"n": IntDistribution(1, 10**6), "m": IntDistribution(0, 1)})
    rows = np.array([[0, 0], [10**6 - 1, 1]])
    found = CandidateEncoding.of(grid, Candidates(rows, {})).columns(Candidates(rows, {}))
    assert found.hot.shape == (2, 2)
    assert found.trend.shape == (2, 3)
    numbers = np.log(np.arange(1, 10**6 + 1))
    expected = (np.array([0, np.log(10**6)]) - numbers.mean()) / numbers.std()
    assert np.allclose(found.trend[:, 0], expected, rtol=0.02)


def test_many_categories_are_apart_in_few_columns() -> None:
    grid = CandidateGrid.of({"op": CategoricalDistribution([f"op{i}" for i in range(5000)])})
    rows = np.arange(0, 5000, 17)[:, None]
    trend = CandidateEncoding.of(grid, Candidates(rows, {})).columns(Candidates(rows, {})).trend
    apart = np.square(trend[:, None] - trend).sum(axis=2)
    assert trend.shape == (len(rows), 64)
    assert apart[~np.eye(len(rows), dtype=bool)].mean() == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(("mean", "deviation", "best"), [(1, 2, 0), (-3, 1, 0), (0, 0.5, 1.7)])
def test_expected_improvement_by_integration(mean: float, deviation: float, best: float) -> None:
    def gain(value: float) -> float:
        return (value - best) * stats.norm.pdf(value, mean, deviation)

    expected, _ = integrate.quad(gain, best, best + 20 * deviation)
    found = log_improvement(np.array([mean]), np.array([deviation]), best)
    assert np.exp(found[0]) == pytest.approx(expected, rel=1e-5)


def test_expected_improvement_far_below_the_best() -> None:
    """It falls without a jump, to where the plain formula is 0."""
    z = np.linspace(-60, 2, 5000)
    found = log_improvement(z, np.ones(len(z)), 0.0)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all()
    near = np.abs(z - FAR) < 0.5
    assert np.abs(np.diff(found[near], 2)).max() < 0.02


def test_several_objectives_by_many_draws() -> None:
    """Where the gain is large, its mean over 64 draws is near that over a million."""
    means, deviations = np.array([[2.0, 0.5], [2.0, 0.5]]), np.full((2, 2), 0.3)
    labelled = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = log_improvement_of_several(means, deviations, labelled, np.random.default_rng(5))
    weights = np.random.default_rng(5).dirichlet(np.ones(2))
    draws = np.random.default_rng(0).normal(2.0, 0.3, (200_000, 2))

    def worth(values: np.ndarray) -> np.ndarray:
        weighed = weights * (values - 1)
        return weighed.min(axis=-1) + 0.05 * weighed.sum(axis=-1)

    gain = np.maximum(worth(draws) - worth(labelled.T).max(), 0).mean()
    assert found[0] == pytest.approx(np.log(gain), abs=0.15)
    assert found[0] > found[1]


def test_hopeless_candidates_of_several_objectives_still_differ() -> None:
    means = np.array([[-50.0, -40.0], [-50.0, -40.0]])
    rng = np.random.default_rng(0)
    found = log_improvement_of_several(means, np.full((2, 2), 1e-3), np.eye(2), rng)
    assert found[0] < found[1] < -600


def test_probability_of_a_constraint() -> None:
    found = log_feasible(np.array([-2.0, 0.0, 40.0]), np.array([1.0, 3.0, 1.0]))
    assert np.exp(found[:2]) == pytest.approx([stats.norm.cdf(2), 0.5])
    assert found[2] == pytest.approx(stats.norm.logcdf(-40))


@pytest.mark.parametrize("seed", range(4))
def test_comparable_is_the_power_of_scipy(seed: int) -> None:
    values = 90 - np.exp(np.random.default_rng(seed).normal(0, 0.6, 60))
    standard = (values - values.mean()) / values.std()
    found, (_, power) = comparable(values), stats.yeojohnson(standard)
    expected = stats.yeojohnson(standard, min(max(power, -1), 3))
    expected = (expected - expected.mean()) / expected.std()
    assert np.abs(found - expected).max() < 0.05
    assert (np.argsort(found) == np.argsort(values)).all()


def test_comparable_of_odd_values() -> None:
    assert comparable(np.array([5.0, 5.0])).tolist() == [0, 0]
    assert comparable(np.array([np.inf, -np.inf])).tolist() == [0, 0]
    found = comparable(np.array([np.inf, 3.0, 1.0, 2.0, -np.inf]))
    assert found[0] == found[1] > found[3] > found[2] == found[4]
    assert np.isfinite(comparable(np.array([1e300, -1e300, 0.0, 1.0]))).all()


def test_signed_keeps_the_sign() -> None:
    found = signed(np.array([-1e9, -1.0, 0.0, 1.0, np.inf]))
    assert (np.sign(found) == [-1, -1, 0, 1, 1]).all() and np.isfinite(found).all()


def test_history() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for place, (w, state) in enumerate(
        [(8, "COMPLETE"), (16, "FAIL"), (24, "PRUNED"), (32, "COMPLETE"), (9, "COMPLETE")]
    ):
        wide = {**SPACE, "w": IntDistribution(1, 99)} if w == 9 else SPACE
        trial = optuna.create_trial(
            params={"w": w, "z": 0, "op": "conv"},
            distributions=wide,
            values=[place, place] if state == "COMPLETE" else None,
            state=optuna.trial.TrialState[state],
        )
        if w == 32:
            trial.set_constraint("memory", 0.5)
        study.add_trial(trial)
    study.enqueue_trial({"w": 8, "z": 1, "op": 3})
    study.enqueue_trial({"w": 8})
    running = study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING))
    assert running is None
    last = study.trials[-1]
    params = {"w": 8, "z": 2, "op": None}
    study._storage.set_trial_system_attr(last._trial_id, PROPOSAL, params)
    found = read_history(GRID, study.trials, np.array([1.0, -1.0]))
    assert found.rows.tolist() == [[0, 0, 0], [3, 0, 0]]
    assert found.values.tolist() == [[0, 0], [3, -3]]
    assert found.waiting.tolist() == [[0, 1, 2], [0, 2, 1]]
    assert len(found.seen) == 6
    assert found.feasible.tolist() == [True, False]
    assert np.isnan(found.constraints["memory"][0])
    assert len(read_history(GRID, study.trials, np.array([1.0, -1.0]), last.number).seen) == 5
