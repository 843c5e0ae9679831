"""Bounds that no network of a space exceeds: how far a search ended from the best possible.

Score, FLOPs, parameters and latency are sums over parameters and over blocks, and a block depends
on the widths of at most two stages. So dynamic programming over the stages' widths finds exactly
the architecture with the highest score - sum of price * cost, for any prices on the costs. Each
choice of prices bounds the constrained optimum (Lagrangian duality: Boyd and Vandenberghe, "Convex
Optimization", section 5.1.3); we search for the prices with the tightest bound. G1-G4 are left
out, which can only make the bound looser. A score that is no sum has sums above it
(`search.optimizer.relaxation`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluator.score.genes import terms
from search.optimizer.relaxation import (
    Above,
    CellBounds,
    EstimateAbove,
    Loss,
    ScoreTables,
    lowest,
)
from search.problem.estimate_score import EstimateScore
from search.problem.problem import Problem
from space.architectures.shufflenet_v2 import STAGES
from space.cost.lookup import COLUMNS

COSTS = ("flops", "params", "latency_s")
EVALUATIONS = 150  # of a bound for each price


class Bounds:
    """Upper bounds on the score and lower bounds on the latency of a problem's architectures.

    The score is the estimate if it is the problem's, else the closed form.

    Raises:
        ValueError: an axis that breaks a guideline is open.

    Example:
        >>> from latency.table.load import load_table
        >>> from search import Bounds, Problem, parse_budgets
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
        >>> bounds = Bounds(problem)
        >>> f"{bounds.latency_at(38.75) * 1e3:.1f} ms"  # at the score of ShuffleNet v2 1x
        '35.8 ms'
    """

    def __init__(self, problem: Problem) -> None:
        space = problem.space
        (variant, *others) = space.variants()
        if others:
            raise ValueError("a bound needs the guideline-breaking axes closed; got open ones")
        self._limits = problem.limits_of_sums
        lookups, _ = problem.model.tables(variant)
        self._costs = [
            {name: each.table[:, COLUMNS.index(name)].reshape(each.sizes) for name in COSTS}
            for each in lookups
        ]
        score = problem.score
        self._estimate = score if isinstance(score, EstimateScore) else None
        self._scores: ScoreTables = {}
        self._above: EstimateAbove | None = None
        if self._estimate is not None:
            self._above = EstimateAbove(space, self._estimate)
        else:
            self._scores = {
                tuple(space.parameters[c].name for c in term.columns): term.table
                for term in terms(space)
            }

    def best_priced(self, prices: Mapping[str, float], above: Above | None = None) -> float:
        """The highest score - sum of price * cost of any architecture, exactly.

        Args:
            prices: score per unit of a cost ("flops", "params", "latency_s"); 0 where absent.
            above: the sum above an estimate's deviation score, which is maximised in its place.
        """
        score = self._scores
        if self._above is not None:
            assert above is not None, "an estimate is bounded by sums"
            score = self._above.tables(above)
        priced = [
            sum((prices[name] * each[name] for name in each if prices.get(name)), np.zeros(()))
            for each in self._costs
        ]
        reached = score[("stem",)]
        for number, stage in enumerate(STAGES):
            entry, units = priced[2 * number], priced[2 * number + 1]
            inner = score[(f"depth{stage}", f"split{stage}")].T  # [split, depth]
            # units: [split, width, kernel, depth] -> the best repeated part for [width, kernel]
            repeated = (inner[:, None, None, :] - units).max(axis=(0, 3))
            own = repeated + score[(f"width{stage}",)][:, None] + score[(f"kernel{stage}",)]
            arrive = (reached[:, None, None] - entry).max(axis=0)  # [width, kernel]
            reached = (arrive + own).max(axis=1)
        best = float((reached[:, None] + score[("head",)] - priced[-1]).max())
        return best + (above.constant if above else 0.0)

    def score_at(self, latency_s: float) -> float:
        """No architecture within the budgets and `latency_s` has a higher score."""
        most_s = min(latency_s, self._limits.get("latency_s", latency_s))
        limits = {**self._limits, "latency_s": most_s}

        def loss(prices: Mapping[str, float], above: Above | None) -> float:
            return self.best_priced(prices, above) + _paid(prices, limits)

        found = self._highest(loss, {name: 3 / limit for name, limit in limits.items()})
        return (
            found if self._estimate is None else float(self._estimate.top1(np.array([found]))[0])
        )

    def latency_at(self, score: float) -> float:
        """No architecture within the budgets and with at least `score` is faster, in seconds."""
        limits = {k: v for k, v in self._limits.items() if k != "latency_s"}
        least = score if self._estimate is None else self._estimate.worth(score)

        def loss(prices: Mapping[str, float], above: Above | None) -> float:
            best = self.best_priced(prices, above)
            return (best + _paid(prices, limits) - least) / prices["latency_s"]

        typical = float(np.median(self._costs[1]["latency_s"])) * 20
        start = {name: 0.3 / limit for name, limit in limits.items()}
        return max(0.0, -self._highest(loss, {"latency_s": 3 / typical, **start}))

    def _highest(self, loss: Loss, start: Mapping[str, float]) -> float:
        """The tightest bound from `start`, for networks of any uncertainty."""
        if self._above is None:
            return loss(lowest(loss, start, None, EVALUATIONS), None)
        return CellBounds(self._above, self.best_priced, loss, EVALUATIONS).highest(start)


def _paid(prices: Mapping[str, float], limits: Mapping[str, float]) -> float:
    return sum(prices[name] * limit for name, limit in limits.items())
