"""Bounds that no network of a space exceeds: how far a search ended from the best possible.

Score, FLOPs, parameters and latency are sums over parameters and over blocks, and a block depends
on the widths of at most two stages. So dynamic programming over the stages' widths finds exactly
the architecture with the highest score - sum of price * cost, for any prices on the costs. Each
choice of prices bounds the constrained optimum (Lagrangian duality: Boyd and Vandenberghe, "Convex
Optimization", section 5.1.3); we search for the prices with the tightest bound. G1-G4 are left
out, which can only make the bound looser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import minimize

from evaluator.score.genes import terms
from search.problem.problem import Floats, Problem
from space.architectures.shufflenet_v2 import STAGES
from space.cost.lookup import COLUMNS


class Bounds:
    """Upper bounds on the score and lower bounds on the latency of a problem's architectures.

    The score is the closed form, whatever the problem's own score is.

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
        self._limits = {budget.cost: budget.limit for budget in problem.budgets}
        lookups, _ = problem.model.tables(variant)
        self._costs = [each.table.reshape(*each.sizes, len(COLUMNS)) for each in lookups]
        self._scores = {
            tuple(space.parameters[c].name for c in term.columns): term.table
            for term in terms(space)
        }

    def best_priced(self, prices: Mapping[str, float]) -> float:
        """The highest score - sum of price * cost of any architecture, exactly.

        Args:
            prices: score per unit of a cost ("flops", "params", "latency_s"); 0 where absent.
        """
        weights = np.array([prices.get(name, 0.0) for name in COLUMNS])
        priced, score = [table @ weights for table in self._costs], self._scores
        reached = score[("stem",)]
        for number, stage in enumerate(STAGES):
            entry, units = priced[2 * number], priced[2 * number + 1]
            inner = score[(f"depth{stage}", f"split{stage}")].T  # [split, depth]
            # units: [split, width, kernel, depth] -> the best repeated part for [width, kernel]
            repeated = (inner[:, None, None, :] - units).max(axis=(0, 3))
            own = repeated + score[(f"width{stage}",)][:, None] + score[(f"kernel{stage}",)]
            arrive = (reached[:, None, None] - entry).max(axis=0)  # [width, kernel]
            reached = (arrive + own).max(axis=1)
        return float((reached[:, None] + score[("head",)] - priced[-1]).max())

    def score_at(self, latency_s: float) -> float:
        """No architecture within the budgets and `latency_s` has a higher score."""
        most_s = min(latency_s, self._limits.get("latency_s", latency_s))
        limits = {**self._limits, "latency_s": most_s}

        def value(prices: Mapping[str, float]) -> float:
            return -(self.best_priced(prices) + _paid(prices, limits))

        return -_tightest(value, {name: 3 / limit for name, limit in limits.items()})

    def latency_at(self, score: float) -> float:
        """No architecture within the budgets and with at least `score` is faster, in seconds."""
        limits = {k: v for k, v in self._limits.items() if k != "latency_s"}

        def value(prices: Mapping[str, float]) -> float:
            return (score - _paid(prices, limits) - self.best_priced(prices)) / prices["latency_s"]

        typical = float(np.median(self._costs[1][..., -1])) * 20
        start = {name: 0.3 / limit for name, limit in limits.items()}
        return max(0.0, _tightest(value, {"latency_s": 3 / typical, **start}))


def _paid(prices: Mapping[str, float], limits: Mapping[str, float]) -> float:
    return sum(prices[name] * limit for name, limit in limits.items())


def _tightest(value: Callable[[Mapping[str, float]], float], start: Mapping[str, float]) -> float:
    """The largest `value(prices)` over prices >= 0, from `start`; a bound wherever it stops."""

    def loss(logs: Floats) -> float:
        prices = np.exp(np.clip(logs, -80, 80))
        return -float(value(dict(zip(start, prices, strict=True))))

    found = minimize(
        loss,
        np.log(list(start.values())),
        method="Nelder-Mead",
        options={"maxfev": 150 * len(start), "xatol": 1e-3, "fatol": 1e-5},
    )
    return -float(found.fun)
