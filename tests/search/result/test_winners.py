from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from search.problem.baseline import Baseline, baseline
from search.problem.problem import Evaluation, Problem
from search.result.winners import front, require_feasible, winners
from space.common.errors import InfeasibleError
from space.cost.lookup import Costs


def _found(rows: list[tuple[float, float, bool]], constraints: int = 5) -> Evaluation:
    """An evaluation with these (score, latency, feasible)."""
    score, latency, fits = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    costs = Costs(zeros, zeros, latency.astype(float), zeros, zeros, zeros, zeros)
    violations = np.where(fits, -0.1, 0.1)[:, None].repeat(constraints, axis=1)
    genes = np.arange(len(rows), dtype=np.int16)[:, None]
    return Evaluation(genes, costs, score.astype(float), violations)


def _base(score: float, latency: float, gene: int = -1) -> Baseline:
    found = _found([(score, latency, True)])
    return Baseline("base", replace(found, genes=found.genes * 0 + gene))


ROWS = [
    (1, 1, True),  # the fastest
    (9, 2, False),  # better than all, but over a limit
    (3, 2, True),
    (3, 2.5, True),  # beaten by the one before
    (5, 3, True),
    (6, 4, True),
    (8, 6, True),
]


def test_front() -> None:
    assert front(_found(ROWS)).tolist() == [0, 2, 4, 5, 6]


def test_roles_against_a_baseline() -> None:
    chosen = winners(_found(ROWS), _base(3, 4))
    assert [(w.name, w.row) for w in chosen] == [("winner 1", 2), ("winner 2", 4), ("winner 3", 5)]
    assert chosen[0].role == "fastest at the baseline's score or better"
    assert chosen[1].role == "balanced"
    assert chosen[2].role == "best score at the baseline's latency or less"


def test_one_row_may_have_two_roles() -> None:
    chosen = winners(_found(ROWS), _base(5, 3.5))
    assert [w.row for w in chosen] == [4]
    assert chosen[0].role == (
        "fastest at the baseline's score or better; best score at the baseline's latency or less"
    )


@pytest.mark.parametrize(
    ("base", "rows"),
    [((7, 1), [6, 0]), ((9, 7), [6]), ((0, 0.5), [0]), ((9, 0.5), [4, 6])],
    ids=["neither together", "none as good", "none as fast", "neither at all"],
)
def test_a_baseline_that_is_hard_to_beat(base: tuple[float, float], rows: list[int]) -> None:
    assert [w.row for w in winners(_found(ROWS), _base(*base))] == rows


def test_the_baseline_itself_is_no_winner() -> None:
    """Row 4 is on the front; as the baseline, no other is as fast at its score."""
    found, base = _found(ROWS), _base(5, 3, gene=4)
    assert winners(found, base) == []
    again = [w.row for w in winners(found, _base(5, 3))]
    assert again == [4]  # another network of the same score and latency is a find
    beaten = _base(3, 2.5, gene=3)
    assert [w.row for w in winners(found, beaten)] == [2]


def test_without_a_baseline() -> None:
    chosen = winners(_found(ROWS), None)
    assert [(w.row, w.role) for w in chosen] == [
        (4, "fastest of the better half"),
        (6, "best score"),
    ]
    (only,) = winners(_found(ROWS[:1]), None)
    assert (only.row, only.role) == (0, "fastest of the better half; best score")


def test_winners_are_feasible_and_on_the_front(problem: Problem) -> None:
    found = problem.evaluate(problem.space.sample(3000, np.random.default_rng(0)))
    chosen = winners(found, baseline(problem))
    assert 1 <= len(chosen) <= 3
    for winner in chosen:
        row = winner.row
        assert found.feasible[row]
        better = (found.score >= found.score[row]) & found.feasible
        better &= found.costs.latency_s <= found.costs.latency_s[row]
        assert better.sum() == 1  # itself


def test_infeasible_says_how_near(problem: Problem) -> None:
    point = problem.space.point
    networks = [point((w, 2 * w, 4 * w)) for w in (244, 176, 200)]
    genes = np.array([network.genes for network in networks], dtype=np.int16)
    flops = problem.space.lower(networks[1]).flops
    told = f"no architecture meets the budget: 3 tried, the nearest has flops {flops / 1e6:.4g}M "
    with pytest.raises(InfeasibleError, match=re.escape(told) + "where at most 146M"):
        require_feasible(problem, problem.evaluate(genes))


def test_feasible_passes(problem: Problem) -> None:
    require_feasible(problem, _found(ROWS))
