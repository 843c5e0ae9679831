"""Sums above the cautious estimate, and the bounds that follow, against whole enumerations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from evaluator.estimate.networks import shipped_model
from latency.table.op_model import OpCostModel
from search.optimizer.bound import Bounds
from search.optimizer.relaxation import EstimateAbove
from search.optimizer.study import finished_study
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.estimate_score import COMMON, DIAGONAL, WORTH, EstimateScore, with_estimate
from search.problem.problem import Evaluation, Floats, Problem
from search.result.winners import rivals
from space.architectures.search_space import Choice, Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

FEW: dict[str, tuple[Choice, ...]] = {
    "stem": (8, 24), "head": (1024, 2048), "width2": (48, 116, 176, 244),
    "width3": (96, 232, 352, 488), "width4": (192, 464, 704, 976),
    "depth2": (2, 4, 8), "depth3": (4, 8), "depth4": (4, 9),
    "kernel2": (3, 5), "kernel3": (3, 5), "kernel4": (3, 5),
}  # fmt: skip


def _estimated(problem: Problem, optimism: float = 0.0) -> Problem:
    return with_estimate(problem, recipe="torchvision", optimism=optimism)


def _score(problem: Problem) -> EstimateScore:
    assert isinstance(problem.score, EstimateScore)
    return problem.score


def _summed(score: EstimateScore, genes: Genes) -> Floats:
    """The parts of genes, float64 [n, 2 + FACTORS]."""
    return np.sum([term.table[genes[:, term.column]] for term in score.terms], axis=0)


@pytest.fixture(scope="module")
def many(problem: Problem) -> Evaluation:
    """100,000 random architectures, by the cautious estimate."""
    genes = problem.space.sample(100_000, np.random.default_rng(1))
    return _estimated(problem).evaluate(genes)


@pytest.mark.parametrize("optimism", [-1.0, 0.0, 0.7])
def test_cells_cover_every_network_and_sums_are_above_it(
    problem: Problem, many: Evaluation, optimism: float
) -> None:
    score = _score(_estimated(problem, optimism))
    sums, parts = EstimateAbove(problem.space, score), _summed(score, many.genes)
    variance = parts[:, DIAGONAL] + np.square(parts[:, COMMON]).sum(axis=1)
    cautious = parts[:, WORTH] - score.caution * np.sqrt(variance)
    rng, covered = np.random.default_rng(2), 0
    for cell in sums.cells():
        inside = (np.sqrt(variance) >= cell[0]) & (np.sqrt(variance) < cell[1])
        covered += int(inside.sum())
        rows = np.flatnonzero(inside)[:2000]
        for tangent in (np.zeros(4), rng.normal(0, 0.2, 4), parts[rows[:1], COMMON].sum(axis=0)):
            above = sums.above(cell, tangent)
            pulled = parts[rows, DIAGONAL] + 2 * parts[rows][:, COMMON] @ tangent
            total = parts[rows, WORTH] + above.slope * pulled + above.constant
            assert (total >= cautious[rows] - 1e-12).all()
    assert covered == len(many)


def test_a_sum_of_tables_is_the_sum_of_its_parts(problem: Problem, many: Evaluation) -> None:
    score, space = _score(_estimated(problem)), problem.space
    sums = EstimateAbove(space, score)
    above = sums.above(sums.cells()[9], np.array([0.1, -0.2, 0.05, 0.0]))
    genes, total = many.genes[:50], np.zeros(50)
    for names, table in sums.tables(above).items():
        total = total + table[tuple(genes[:, space.position(name)] for name in names)]
    parts = _summed(score, genes)
    pulled = parts[:, DIAGONAL] + 2 * parts[:, COMMON] @ above.tangent
    np.testing.assert_allclose(total, parts[:, WORTH] + above.slope * pulled, rtol=1e-12)


def _small(arm: OpCostModel, budgets: list[str], optimism: float) -> tuple[Problem, Genes]:
    """A problem of the whole space's estimate over 24,576 architectures, and all of these."""
    whole = ShuffleNetV2Space()
    parameters = [
        replace(each, choices=FEW[each.name], active_choices=len(FEW[each.name]))
        if each.name in FEW
        else each
        for each in whole.parameters
    ]
    few = [
        np.array([whole.parameters[column].choices.index(choice) for choice in each.choices])
        for column, each in enumerate(parameters)
    ]
    space = ShuffleNetV2Space(parameters=tuple(parameters))
    problem = _estimated(Problem(whole, arm, parse_budgets(budgets)), optimism)
    score = _score(problem)
    small = Problem(space, arm, parse_budgets(budgets))
    cut = EstimateScore(shipped_model("torchvision"), "torchvision", optimism, score.base)
    terms = tuple(replace(term, table=term.table[few[term.column]]) for term in score.terms)
    object.__setattr__(cut, "terms", terms)
    sizes = [
        1 if each.name.startswith("split") else each.active_choices for each in space.parameters
    ]
    every = np.array(list(itertools.product(*map(range, sizes))), dtype=np.int16)
    every[:, [space.position(f"split{stage}") for stage in (2, 3, 4)]] = 2
    return replace(small, score=cut), every


@pytest.mark.slow
@pytest.mark.parametrize("optimism", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("budgets", [["146M"], ["300M", "3Mparams"], ["45ms"]])
def test_bounds_hold_for_a_full_enumeration(
    budgets: list[str], optimism: float, arm: OpCostModel
) -> None:
    problem, every = _small(arm, budgets, optimism)
    found = problem.evaluate(every)
    fits = (found.violations[:, : len(budgets)] <= 0).all(axis=1)
    score, latency = found.score[fits], found.costs.latency_s[fits]
    bounds = Bounds(problem)
    for share in (0.1, 0.5, 0.9):
        latency_s, least = float(np.quantile(latency, share)), float(np.quantile(score, share))
        best, fastest = score[latency <= latency_s].max(), latency[score >= least].min()
        assert best <= bounds.score_at(latency_s) < best + 4  # points
        assert 0.7 * fastest < bounds.latency_at(least) <= fastest


@pytest.mark.slow
@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_no_random_architecture_beats_the_bounds(
    problem: Problem, many: Evaluation, optimism: float
) -> None:
    estimated = _estimated(problem, optimism)
    found, bounds = estimated.evaluate(many.genes), Bounds(estimated)
    fits = found.costs.flops <= 146e6
    score, latency = found.score[fits], found.costs.latency_s[fits]
    for share in (0.02, 0.5):
        at, least = float(np.quantile(latency, share)), float(np.quantile(score, 1 - share))
        assert score[latency <= at].max() <= bounds.score_at(at)
        assert latency[score >= least].min() >= bounds.latency_at(least)


@pytest.mark.slow
def test_a_search_stays_within_the_bounds_and_comes_near(problem: Problem) -> None:
    estimated = _estimated(problem)
    base = baseline(estimated)
    assert base is not None
    found, bounds = finished_study(estimated, 300).evaluated(), Bounds(estimated)
    as_good, as_fast = rivals(found, base)
    least_s, most = bounds.latency_at(base.score), bounds.score_at(base.latency_s)
    assert base.score <= most
    assert base.latency_s >= least_s > 0.95 * base.latency_s  # its neighbours are uncertain
    assert found.score[as_fast[-1]] <= most < base.score + 0.2
    assert not len(as_good) or found.costs.latency_s[as_good[0]] >= least_s


def test_above_the_estimate_there_is_no_bound(problem: Problem) -> None:
    with pytest.raises(ValueError, match=r"optimism of at most 1; got 1\.5"):
        Bounds(_estimated(problem, 1.5))
