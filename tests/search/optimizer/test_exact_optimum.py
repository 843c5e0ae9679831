from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.table.load import load_table
from search.optimizer.bound import Bounds
from search.optimizer.exact.front import exact_front
from search.optimizer.exact.optimum import Optimum, optimum
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.estimate_score import with_estimate
from search.problem.problem import Evaluation, Problem
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import InfeasibleError
from tests.helpers.exact import (
    PAPER,
    TINY,
    estimate_problem,
    every_network,
    small_space,
    tiny_problem,
)
from tests.helpers.hostile import examples

CAUTIOUS, MEAN = 0.0, 1.0
SCORES = ("closed form", CAUTIOUS, MEAN)


def full_problem(target: str, budget: str, score: str | float) -> Problem:
    problem = Problem(ShuffleNetV2Space(), load_table(target), parse_budgets([budget]))
    if isinstance(score, float):
        problem = with_estimate(problem, recipe="torchvision", optimism=score)
    return problem


def brute(found: Evaluation, *, most_s: float = np.inf, least: float = -np.inf) -> np.ndarray:
    """The rows that keep every limit."""
    kept = found.feasible & (found.costs.latency_s <= most_s) & (found.score >= least)
    return np.flatnonzero(kept)


def check_against_every(problem: Problem, found: Evaluation, share: float) -> None:
    """Both objectives within limits at a share of the networks: the same as of every network."""
    most_s = float(np.quantile(found.costs.latency_s, share))
    least = float(np.quantile(found.score, 1 - share))
    rows = brute(found, most_s=most_s)
    if not len(rows):
        with pytest.raises(InfeasibleError, match="no network of the space has"):
            optimum(problem, "score", most_latency_s=most_s, seconds=60)
    else:
        best = optimum(problem, "score", most_latency_s=most_s, seconds=60)
        assert best.proven and best.value == found.score[rows].max()
    rows = brute(found, least=least)
    if not len(rows):
        with pytest.raises(InfeasibleError, match="no network of the space has"):
            optimum(problem, "latency", least_score=least, seconds=60)
    else:
        best = optimum(problem, "latency", least_score=least, seconds=60)
        assert best.proven and best.value == found.costs.latency_s[rows].min()


@examples(12)
@given(
    seed=st.integers(0, 10_000),
    flops=st.floats(6.8, 8.6),
    params=st.floats(5.6, 6.9),
    share=st.floats(0.0005, 0.7),
)
def test_property_the_optimum_is_that_of_every_network(
    seed: int, flops: float, params: float, share: float
) -> None:
    """Random latencies, budgets and limits: 124,416 networks each."""
    problem = tiny_problem(seed, 10**flops, 10**params)
    found = problem.evaluate(every_network(problem.space))
    check_against_every(problem, found, share)


@pytest.mark.parametrize(
    ("target", "flops", "optimism", "share"),
    [("arm", 1.5e8, 0.0, 0.1), ("gpu", 3e8, 1.0, 0.3), ("epyc-milan-ort", 8e7, 0.5, 0.2)],
)
@pytest.mark.slow
def test_of_an_estimate_too(target: str, flops: float, optimism: float, share: float) -> None:
    """442,368 networks, with a score that is no sum."""
    problem = estimate_problem(target, flops, optimism)
    found = problem.evaluate(every_network(problem.space))
    check_against_every(problem, found, share)


@pytest.mark.slow
@examples(6)
@given(
    target=st.sampled_from(["arm", "gpu", "epyc-turin-ort"]),
    flops=st.floats(7.6, 8.8),
    optimism=st.floats(-1.0, 0.9),
    share=st.floats(0.01, 0.5),
)
def test_property_of_a_cautious_estimate(
    target: str, flops: float, optimism: float, share: float
) -> None:
    problem = estimate_problem(target, 10**flops, optimism)
    found = problem.evaluate(every_network(problem.space))
    check_against_every(problem, found, share)


def ends(problem: Problem, seconds: float = 60) -> tuple[Optimum, Optimum]:
    """Winner 1 and winner 3."""
    base = baseline(problem)
    assert base is not None
    return (
        optimum(problem, "latency", least_score=base.score, seconds=seconds),
        optimum(problem, "score", most_latency_s=base.latency_s, seconds=seconds),
    )


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("target", "budget"), [("arm", "146M"), ("gpu", "299M")])
def test_no_random_network_of_the_space_is_better(
    target: str, budget: str, score: str | float
) -> None:
    problem = full_problem(target, budget, score)
    base = baseline(problem)
    assert base is not None
    fastest, best = ends(problem)
    assert fastest.proven and best.proven and best.line() == "proven best of 1.6e15"
    drawn = problem.evaluate(problem.space.sample(30_000, np.random.default_rng(1)))
    drawn = drawn.take(np.flatnonzero(drawn.feasible)[:2000])
    assert len(drawn) == 2000
    rows = brute(drawn, most_s=base.latency_s)
    assert len(rows) and drawn.score[rows].max() <= best.value
    rows = brute(drawn, least=base.score)
    assert drawn.costs.latency_s[rows].min(initial=np.inf) >= fastest.value
    # The networks are what the problem says, and keep the limits exactly.
    for each in (fastest, best):
        assert each.found is not None and each.genes is not None
        again = problem.evaluate(each.genes[None])
        assert again.feasible.all() and each.gap == 0 and each.left == 0
        assert again.score[0] == each.found.score[0] >= (base.score if each is fastest else 0)
        assert again.costs.latency_s[0] == each.found.costs.latency_s[0] <= base.latency_s


@pytest.mark.parametrize("score", SCORES)
def test_no_neighbour_is_better(score: str | float) -> None:
    """All networks that differ in one or two parameters: 0.1 million."""
    problem = full_problem("arm", "146M", score)
    base = baseline(problem)
    assert base is not None
    fastest, best = ends(problem)
    for each in (fastest, best):
        assert each.genes is not None
        found = problem.evaluate(neighbours(problem, each.genes))
        if each is best:
            assert found.score[brute(found, most_s=base.latency_s)].max() == best.value
        else:
            rows = brute(found, least=base.score)
            assert found.costs.latency_s[rows].min() == fastest.value


def neighbours(problem: Problem, genes: np.ndarray) -> np.ndarray:
    found, sizes = [genes[None]], problem.space.active_sizes
    columns = np.flatnonzero(sizes > 1)
    for place, first in enumerate(columns):
        for second in columns[place + 1 :]:
            grid = np.indices((sizes[first], sizes[second])).reshape(2, -1)
            rows = np.repeat(genes[None], grid.shape[1], axis=0)
            rows[:, first], rows[:, second] = grid
            found.append(rows)
    return np.concatenate(found)


@pytest.mark.parametrize(
    "score", ["closed form", MEAN, pytest.param(CAUTIOUS, marks=pytest.mark.slow)]
)
def test_it_agrees_with_the_bounds_of_all_networks(score: str | float) -> None:
    problem = full_problem("arm", "146M", score)
    base, bounds = baseline(problem), Bounds(problem)
    assert base is not None
    fastest, best = ends(problem)
    assert fastest.value * 0.98 <= bounds.latency_at(base.score) <= fastest.value * (1 + 1e-9)
    assert best.value * (1 - 1e-9) <= bounds.score_at(base.latency_s) <= best.value * 1.002


def test_a_budget_of_latency_binds() -> None:
    space, table = ShuffleNetV2Space(), load_table("arm")
    problem = Problem(space, table, parse_budgets(["146M", "30ms"]))
    best = optimum(problem, "score", seconds=60)
    other = optimum(
        Problem(space, table, parse_budgets(["146M"])), "score", most_latency_s=0.03, seconds=60
    )
    assert best.proven and best.value == other.value
    tighter = optimum(problem, "score", most_latency_s=0.025, seconds=60)
    assert tighter.found is not None and tighter.found.costs.latency_s[0] <= 0.025


def test_a_known_network_changes_nothing_but_the_time() -> None:
    problem = full_problem("arm", "146M", CAUTIOUS)
    base = baseline(problem)
    assert base is not None
    limit = base.latency_s
    best = optimum(problem, "score", most_latency_s=limit, seconds=60)
    infeasible = problem.space.point((256, 512, 1024), head=2048)
    start = np.array([infeasible.genes], dtype=np.int16)
    assert not problem.evaluate(start).feasible.any()
    for known in (start, base.found.genes, best.found.genes if best.found else start):
        other = optimum(problem, "score", most_latency_s=limit, start=known, seconds=60)
        assert other.proven and other.value == best.value


def test_when_time_is_up_the_bound_is_right() -> None:
    problem = full_problem("gpu", "41M", CAUTIOUS)
    base = baseline(problem)
    assert base is not None
    true = optimum(problem, "score", most_latency_s=base.latency_s, seconds=60)
    for seconds in (1e-6, 0.15, 0.25):
        began = time.monotonic()
        found = optimum(
            problem,
            "score",
            most_latency_s=base.latency_s,
            start=base.found.genes,
            seconds=seconds,
        )
        assert time.monotonic() - began < seconds + 3
        assert found.value <= true.value <= found.bound * (1 + 1e-9)
        if not found.proven:
            assert found.left > 0 and found.gap > 0
            assert found.line().startswith("at most ") and found.line().endswith("from the best")
    late = optimum(problem, "score", most_latency_s=base.latency_s, seconds=1e-6)
    assert not late.proven and late.bound >= true.value
    if late.found is None:
        assert np.isnan(late.value) and late.genes is None and "none found" in late.line()


def test_nothing_feasible_is_proven_and_said() -> None:
    tiny = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["1M"]))
    with pytest.raises(InfeasibleError, match=r"no network of the space has flops of at most 1M"):
        optimum(tiny, "score", seconds=60)
    problem = full_problem("arm", "146M", CAUTIOUS)
    with pytest.raises(InfeasibleError, match=r"score of at least 99.*none scores above"):
        optimum(problem, "latency", least_score=99.0)
    with pytest.raises(InfeasibleError, match="score of at least 71"):
        optimum(problem, "latency", least_score=71.0, seconds=60)
    with pytest.raises(InfeasibleError, match="latency_s of at most 1 us"):
        optimum(problem, "score", most_latency_s=1e-6, seconds=60)


def test_what_it_cannot_answer() -> None:
    problem = full_problem("arm", "146M", "closed form")
    with pytest.raises(ValueError, match="one of score, latency; got 'flops'"):
        optimum(problem, "flops")
    with pytest.raises(ValueError, match="`least_score` is a limit"):
        optimum(problem, "score", least_score=1.0)
    with pytest.raises(ValueError, match="`most_latency_s` is a limit"):
        optimum(problem, "latency", most_latency_s=1.0)
    with pytest.raises(ValueError, match="must be above 0; got -1"):
        optimum(problem, "score", most_latency_s=-1.0)
    with pytest.raises(ValueError, match="must be a number; got nan"):
        optimum(problem, "latency", least_score=float("nan"))
    with pytest.raises(ValueError, match="`seconds` must be above 0; got 0"):
        optimum(problem, seconds=0)
    with pytest.raises(ValueError, match="an optimism of at most 1"):
        optimum(full_problem("arm", "146M", 2.0))
    relaxed = Problem(
        ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]), relax=("g4",)
    )
    with pytest.raises(ValueError, match="got some of these open"):
        optimum(relaxed)


def test_the_front_of_every_network() -> None:
    problem = tiny_problem(3, 2e8, 5e6)
    found = problem.evaluate(every_network(small_space(TINY)))
    front = exact_front(problem, steps=6, seconds=60)
    assert all(each.proven for each in front)
    feasible = np.flatnonzero(found.feasible)
    latency, score = found.costs.latency_s[feasible], found.score[feasible]
    limits = np.linspace(latency.min(), latency[score == score.max()].min(), 6)
    values = sorted({float(score[latency <= limit].max()) for limit in limits})
    assert [each.value for each in front] == values
    for each in front:
        assert each.found is not None
        assert each.found.costs.latency_s[0] == latency[score == each.value].min()
    with pytest.raises(ValueError, match="`steps` must be at least 2; got 1"):
        exact_front(problem, steps=1)


def test_the_small_spaces_have_the_networks_of_the_paper() -> None:
    assert small_space(PAPER).point((244, 488, 976), head=2048)
