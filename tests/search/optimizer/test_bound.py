from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import space.architectures.shufflenet_v2 as shufflenet
from evaluator.score.genes import score_genes
from latency.table.op_model import OpCostModel
from search.optimizer.bound import Bounds
from search.optimizer.study import finished_study
from search.problem.budget import parse_budgets
from search.problem.problem import Evaluation, Problem
from space.architectures.search_space import Choice
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import COLUMNS

PRICES: tuple[dict[str, float], ...] = (
    {},
    {"flops": 3e-8},
    {"latency_s": 80.0},
    {"params": 1e-6, "latency_s": 20.0},
    {"flops": 1e-8, "params": 2e-6, "latency_s": 300.0},
    {"flops": 1e-5},
)


@pytest.fixture(scope="module")
def bounds(problem: Problem) -> Bounds:
    return Bounds(problem)


@pytest.fixture(scope="module")
def many(problem: Problem) -> Evaluation:
    """200,000 random architectures."""
    return problem.evaluate(problem.space.sample(200_000, np.random.default_rng(0)))


def _small_space(monkeypatch: pytest.MonkeyPatch) -> ShuffleNetV2Space:
    """3,072 architectures, few enough to evaluate each."""
    splits = shufflenet.SPLITS[1:3]
    monkeypatch.setattr(shufflenet, "SPLITS", splits)
    few: dict[str, tuple[Choice, ...]] = {
        "stem": (8, 24), "head": (256, 1024),
        "width2": (24, 116, 244), "width3": (48, 232), "width4": (96, 464, 976),
    }  # fmt: skip
    for stage in shufflenet.STAGES:
        few.update({f"depth{stage}": (2, 9), f"split{stage}": splits, f"kernel{stage}": (3, 5)})
    parameters = (
        replace(parameter, choices=few[parameter.name], active_choices=len(few[parameter.name]))
        if parameter.name in few
        else parameter
        for parameter in ShuffleNetV2Space().parameters
    )
    return ShuffleNetV2Space(parameters=tuple(parameters))


@pytest.mark.parametrize("prices", PRICES)
def test_best_priced_equals_a_full_enumeration(
    prices: dict[str, float], arm: OpCostModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = _small_space(monkeypatch)
    problem = Problem(space, arm, parse_budgets(["146M"]))
    every = np.array(list(itertools.product(*map(range, space.active_sizes))), dtype=np.int16)
    assert len(every) == space.size == 2 * (3 * 2 * 3) * (2 * 2 * 2) ** 3 * 2
    found = problem.evaluate(every)
    paid = sum(price * getattr(found.costs, name) for name, price in prices.items())
    best = float((found.score - paid).max())
    assert Bounds(problem).best_priced(prices) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("budgets", [["146M"], ["60M", "1Mparams"], ["25ms"]])
def test_bounds_hold_for_a_full_enumeration(
    budgets: list[str], arm: OpCostModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = _small_space(monkeypatch)
    problem = Problem(space, arm, parse_budgets(budgets))
    every = np.array(list(itertools.product(*map(range, space.active_sizes))), dtype=np.int16)
    found = problem.evaluate(every)
    fits = (found.violations[:, : len(budgets)] <= 0).all(axis=1)
    score, latency = found.score[fits], found.costs.latency_s[fits]
    bounds = Bounds(problem)
    for share in (0.1, 0.5, 0.9):
        latency_s, least = float(np.quantile(latency, share)), float(np.quantile(score, share))
        best, fastest = score[latency <= latency_s].max(), latency[score >= least].min()
        assert best <= bounds.score_at(latency_s) < best + 2.5  # and is not idly large
        assert 0.75 * fastest < bounds.latency_at(least) <= fastest


@pytest.mark.parametrize("prices", PRICES)
def test_no_random_architecture_is_above_best_priced(
    prices: dict[str, float], bounds: Bounds, many: Evaluation
) -> None:
    assert set(prices) <= set(COLUMNS)
    paid = sum(price * getattr(many.costs, name) for name, price in prices.items())
    assert (many.score - paid).max() <= bounds.best_priced(prices)


@pytest.mark.slow
def test_no_random_architecture_beats_the_bounds(
    bounds: Bounds, many: Evaluation, problem: Problem
) -> None:
    fits = many.costs.flops <= 146e6
    score, latency = many.score[fits], many.costs.latency_s[fits]
    for share in (0.02, 0.5):
        at, least = float(np.quantile(latency, share)), float(np.quantile(score, 1 - share))
        assert score[latency <= at].max() <= bounds.score_at(at)
        assert latency[score >= least].min() >= bounds.latency_at(least)


@pytest.mark.slow
def test_a_search_stays_within_the_bounds_and_comes_near(bounds: Bounds, problem: Problem) -> None:
    found = finished_study(problem, 150).evaluated()
    score, latency = found.score[found.feasible], found.costs.latency_s[found.feasible]
    for row in np.argsort(latency)[10::90]:
        best, fastest = bounds.score_at(float(latency[row])), bounds.latency_at(float(score[row]))
        assert score[row] <= best
        assert latency[row] >= fastest
    assert bounds.latency_at(float(score.max())) > 0.8 * latency[score.argmax()]


@pytest.mark.slow
def test_more_budgets_are_never_a_looser_bound(
    bounds: Bounds, space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    both = Bounds(Problem(space, arm, parse_budgets(["146M", "2Mparams"])))
    assert both.score_at(0.04) <= bounds.score_at(0.04) + 1e-3
    assert both.latency_at(38.0) >= bounds.latency_at(38.0) * (1 - 1e-3)


def test_a_latency_budget_binds(space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    bounds = Bounds(Problem(space, arm, parse_budgets(["30ms"])))
    assert bounds.score_at(1.0) == pytest.approx(bounds.score_at(0.03), rel=1e-9)
    assert bounds.score_at(0.02) < bounds.score_at(0.03)


@pytest.mark.parametrize("name", ["g1", "g2", "g3", "g4"])
def test_open_axes_are_refused(name: str, space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    problem = Problem(space, arm, parse_budgets(["146M"]), (name,))
    with pytest.raises(ValueError, match="needs the guideline-breaking axes closed"):
        Bounds(problem)


def test_scores_are_those_of_the_genes(problem: Problem, many: Evaluation) -> None:
    assert (score_genes(problem.space, many.genes[:100]) == many.score[:100]).all()
