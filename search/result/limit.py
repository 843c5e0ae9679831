"""How far the best found is from what no network of the space can beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem.baseline import Baseline
from search.problem.budget import scaled
from search.problem.problem import CLOSED_FORM, Evaluation, Problem


@dataclass(frozen=True, slots=True)
class Limit:
    """What no network of the space within the budgets can beat (`search.optimizer.bound`), beside
    the best found: the latency at the baseline's score, and the score at the baseline's
    latency."""

    latency_s: float
    found_latency_s: float
    score: float
    found_score: float

    def lines(self, base: str) -> list[str]:
        """For people."""
        gap = self.found_latency_s / self.latency_s - 1
        return [
            f"at {base}'s score no network of the space is faster than "
            f"{scaled(self.latency_s, 'latency_s')}; found "
            f"{scaled(self.found_latency_s, 'latency_s')}, at most {gap:.1%} from the best",
            f"at {base}'s latency none scores above {self.score:.2f}; found "
            f"{self.found_score:.2f}",
        ]


def limit_of(problem: Problem, found: Evaluation, base: Baseline | None) -> Limit | None:
    """The bound beside the best found; None without a baseline, with axes open that break a
    guideline, with another score than the closed form, or if nothing found reaches the baseline in
    one of the two."""
    from search.optimizer.bound import Bounds

    if base is None or problem.relax or problem.score != CLOSED_FORM:
        return None
    score, latency = float(base.found.score[0]), float(base.found.costs.latency_s[0])
    as_good = found.feasible & (found.score >= score)
    as_fast = found.feasible & (found.costs.latency_s <= latency)
    if not (as_good.any() and as_fast.any()):
        return None
    bounds = Bounds(problem)
    return Limit(
        latency_s=bounds.latency_at(score),
        found_latency_s=float(np.min(found.costs.latency_s[as_good])),
        score=bounds.score_at(latency),
        found_score=float(np.max(found.score[as_fast])),
    )
