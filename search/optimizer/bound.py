"""How far a search can have ended from the best possible: a bound that no network exceeds.

Score, FLOPs, parameters and latency are sums over slots and over blocks, and a block knows at most
the widths of two stages. So for any prices on the costs the architecture with the highest
score - sum of price * cost is found exactly, by dynamic programming over the stages' widths. Each
choice of prices bounds the constrained optimum (Lagrangian duality: Boyd and Vandenberghe, "Convex
Optimization", section 5.1.3); we look for the prices with the tightest bound. G1-G4 are left out,
which can only make the bound looser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from evaluator.score.genes import terms
from search.problem.problem import Problem
from space.architectures.shufflenet_v2 import STAGES
from space.cost.lookup import COLUMNS, Lookup

Floats = NDArray[np.float64]


class Bounds:
    """Bounds on a problem whose guideline-breaking axes are closed.

    Raises:
        ValueError: an axis that breaks a guideline is open.
    """

    def __init__(self, problem: Problem) -> None:
        space = problem.space
        (variant, *others) = space.variants()
        if others:
            raise ValueError("a bound needs the guideline-breaking axes closed; got open ones")
        self._limits = {budget.cost: budget.limit for budget in problem.budgets}
        lookups, _ = problem.model.tables(variant)
        self._lookups = [(lookup, _shaped(lookup)) for lookup in lookups]
        self._scores = {
            tuple(space.slots[c].name for c in term.columns): term.table for term in terms(space)
        }

    def best_priced(self, prices: Mapping[str, float]) -> float:
        """The highest score - sum of price * cost of any architecture, exactly."""
        weights = np.array([prices.get(name, 0.0) for name in COLUMNS])
        priced = [table @ weights for _, table in self._lookups]
        score = self._scores
        stem_value = score[("stem",)]
        before: Floats | None = None
        for number, stage in enumerate(STAGES):
            entry, units = priced[2 * number], priced[2 * number + 1]
            inner = score[(f"depth{stage}", f"split{stage}")].T  # [split, depth]
            # units: [split, width, kernel, depth] -> the best repeated part for [width, kernel]
            repeated = (inner[:, None, None, :] - units).max(axis=(0, 3))
            own = repeated + score[(f"width{stage}",)][:, None] + score[(f"kernel{stage}",)]
            reached = stem_value if before is None else before
            arrive = (reached[:, None, None] - entry).max(axis=0)  # [width, kernel]
            before = (arrive + own).max(axis=1)
        assert before is not None
        return float((before[:, None] + score[("head",)] - priced[-1]).max())

    def _search(
        self,
        costs: list[str],
        value: Callable[[Mapping[str, float]], float],
        start: list[float],
    ) -> float:
        """The largest `value(prices)` over prices >= 0 of `costs`; valid wherever it stops."""

        def loss(logs: Floats) -> float:
            prices = np.exp(np.clip(logs, -80, 80))
            return -float(value(dict(zip(costs, prices, strict=True))))

        found = minimize(
            loss,
            np.log(start),
            method="Nelder-Mead",
            options={"maxfev": 150 * len(costs), "xatol": 1e-3, "fatol": 1e-5},
        )
        return -float(found.fun)

    def score_at(self, latency_s: float) -> float:
        """No architecture within the budgets and `latency_s` has a higher score."""
        limits = {**self._limits}
        limits["latency_s"] = min(latency_s, limits.get("latency_s", latency_s))

        def value(prices: Mapping[str, float]) -> float:
            paid = sum(prices[name] * limit for name, limit in limits.items())
            return -(self.best_priced(prices) + paid)

        return -self._search(list(limits), value, [3 / limit for limit in limits.values()])

    def latency_at(self, score: float) -> float:
        """No architecture within the budgets and with at least `score` is faster, in seconds."""
        limits = {k: v for k, v in self._limits.items() if k != "latency_s"}

        def value(prices: Mapping[str, float]) -> float:
            paid = sum(prices[name] * limit for name, limit in limits.items())
            return (score - paid - self.best_priced(prices)) / prices["latency_s"]

        typical = float(np.median(self._lookups[1][1][..., -1])) * 20
        start = [3 / typical, *(0.3 / limit for limit in limits.values())]
        return max(0.0, self._search(["latency_s", *limits], value, start))


def _shaped(lookup: Lookup) -> Floats:
    return lookup.table.reshape(*lookup.sizes, len(COLUMNS))
