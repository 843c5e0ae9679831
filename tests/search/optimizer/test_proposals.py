from __future__ import annotations

import numpy as np
import pytest

from search.optimizer.sampler import children, pick, start_rows
from search.optimizer.study import finished_study
from search.problem.baseline import baseline
from search.problem.estimate_score import with_estimate
from search.problem.problem import Problem
from search.result.winners import rivals

SIZES = np.array([2, 3, 60, 12, 1])


def _children(parents: np.ndarray, n: int = 2000, seed: int = 0) -> np.ndarray:
    return children(parents, SIZES, n, np.random.default_rng(seed))


def parents() -> np.ndarray:
    return np.array([[0, 1, 30, 5, 0], [1, 2, 31, 6, 0]])


@pytest.mark.parametrize("some", [np.zeros((0, 5), dtype=np.int64), parents(), parents()[:1]])
def test_children_stay_in_range(some: np.ndarray) -> None:
    rows = _children(some)
    assert rows.shape == (2000, 5)
    assert rows.min() >= 0
    assert (rows < SIZES).all()
    assert (rows.max(axis=0) == SIZES - 1).all()
    assert rows.tobytes() == _children(some).tobytes()
    assert rows.tobytes() != _children(some, seed=1).tobytes()


def test_parents_are_left_alone() -> None:
    some = parents()
    _children(some)
    assert (some == parents()).all()


def test_children_mix_both_parents_and_change_little() -> None:
    rows = _children(parents(), 4000)
    from_parents = (rows[:, None] == parents()[None]).any(axis=1)
    changed = (~from_parents[:, 2:4]).sum(axis=1)
    assert 0.4 < (changed == 0).mean() < 0.6  # (1 - 1.5 / 5) twice, but for the fresh ones
    kept = rows[(changed == 0)]
    mixed = (kept[:, 2] == 30) & (kept[:, 3] == 6)
    assert 0.15 < mixed.mean() < 0.35  # a quarter takes one axis from each, this way round


def test_steps_are_near() -> None:
    one = np.array([[0, 0, 30, 5, 0]])
    rows = children(one, SIZES, 8000, np.random.default_rng(0))
    distance = np.abs(rows[:, 2] - 30)
    near = ((distance > 0) & (distance <= 60 // 12)).mean()
    far = (distance > 60 // 12).mean() / 49 * 10  # what ten of the far choices get
    assert near > 2 * far


def _scan(
    score: np.ndarray, latency: np.ndarray, over: np.ndarray, allowed: np.ndarray, direction: float
) -> int:
    """`pick`, row by row."""
    rows = range(len(score))
    total = [sum(max(v, 0.0) for v in over[i]) for i in rows]
    ok = [i for i in rows if total[i] == 0]
    usable = [i for i in ok if allowed[i]]
    if not usable:
        return min((i for i in rows if allowed[i]), key=lambda i: total[i])
    high, low = max(score[i] for i in ok), min(score[i] for i in ok)
    slow, fast = np.log(max(latency[i] for i in ok)), np.log(min(latency[i] for i in ok))

    def distance(i: int) -> float:
        lack = direction * (high - score[i]) / ((high - low) or 1)
        cost = (1 - direction) * (np.log(latency[i]) - fast) / ((slow - fast) or 1)
        return max(lack, cost) + 0.05 * (lack + cost)

    return min(usable, key=distance)


def test_pick_equals_a_slow_scan() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 40, 40, 100, 100, 100):
        for direction in (0.0, 0.3, 0.9, 1.0):
            for shift in (-0.7, 0.0, 5.0):  # mostly feasible, few, none
                score, latency = rng.normal(size=n), rng.uniform(0.01, 1, size=n)
                over = rng.uniform(-1, 1, size=(n, 3)) + shift
                allowed = rng.random(n) < 0.7
                allowed[rng.integers(n)] = True
                expected = _scan(score, latency, over, allowed, direction)
                assert pick(score, latency, over, allowed, direction) == expected


def test_pick_goes_to_the_ends() -> None:
    score, latency = np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])
    over, every = np.full((3, 1), -0.1), np.ones(3, dtype=bool)
    assert pick(score, latency, over, every, 0.0) == 0
    assert pick(score, latency, over, every, 1.0) == 2
    assert pick(score, latency, over, np.array([True, True, False]), 1.0) == 1
    assert pick(score, latency, np.array([[-1.0], [-1.0], [0.1]]), every, 1.0) == 1


def test_without_a_feasible_row_the_least_violation() -> None:
    over = np.array([[0.5, 0.5], [0.9, -9.0], [0.1, 0.1]])
    score, latency = np.array([9.0, 9.0, 0.0]), np.array([0.1, 0.1, 9.0])
    assert pick(score, latency, over, np.array([True, True, True]), 1.0) == 2
    assert pick(score, latency, over, np.array([True, True, False]), 1.0) == 1


def test_pick_needs_a_row() -> None:
    with pytest.raises(ValueError, match="at least one row must be allowed; got none"):
        pick(np.ones(2), np.ones(2), np.zeros((2, 1)), np.zeros(2, dtype=bool), 0.5)


def test_of_equally_far_rows_the_one_that_is_better_in_the_other() -> None:
    score, latency = np.array([0.0, 0.0, 1.0]), np.array([10.0, 1.0, 10.0])
    allowed = np.array([True, True, False])  # the third sets the range of scores
    assert pick(score, latency, np.zeros((3, 1)), allowed, 0.5) == 1


def test_a_search_by_the_estimate_begins_at_the_baseline(problem: Problem) -> None:
    """Networks like it are certain; no answer is worse than it."""
    estimated = with_estimate(problem, recipe="torchvision", optimism=0)
    base = baseline(estimated)
    assert base is not None
    assert (estimated.axes.genes(start_rows(estimated)) == base.found.genes).all()
    assert len(start_rows(problem)) == 0
    found = finished_study(estimated, 40).evaluated()
    as_good, as_fast = rivals(found, base)
    assert found.costs.latency_s[as_good[0]] <= base.latency_s
    assert found.score[as_fast[-1]] >= base.score
