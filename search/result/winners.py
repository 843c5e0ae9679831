"""Which of the evaluated architectures answer the question, and how far they are from the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem.baseline import Baseline
from search.problem.budget import scaled
from search.problem.estimate_score import EstimateScore
from search.problem.problem import CLOSED_FORM, Evaluation, Problem, nondominated
from space.common.errors import InfeasibleError


@dataclass(frozen=True, slots=True)
class Winner:
    """A row of an evaluation, and what it is best at."""

    name: str
    role: str
    row: int


def front(found: Evaluation) -> np.ndarray:
    """Feasible rows that no feasible row beats, fastest first."""
    feasible = np.flatnonzero(found.feasible)
    return feasible[nondominated(found.score[feasible], found.costs.latency_s[feasible])]


def rivals(found: Evaluation, base: Baseline) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the front that score at least as high as the baseline, and those that are at least
    as fast; fastest first."""
    rows = front(found)
    as_good = rows[found.score[rows] >= base.score]
    return as_good, rows[found.costs.latency_s[rows] <= base.latency_s]


def winners(found: Evaluation, base: Baseline | None) -> list[Winner]:
    """At most three architectures of the front; none if the baseline itself is the best of it.

    With a baseline: the fastest that scores at least as high, the highest score that is at least
    as fast, and the one in between that is furthest ahead in the worse of both. Without one: the
    highest score, and the fastest within half of the front's range of scores.
    """
    chosen = []
    if base is not None:
        as_good, as_fast = rivals(found, base)
        if any(np.array_equal(found.genes[row], base.found.genes[0]) for row in as_fast[-1:]):
            return []
        both = as_good[np.isin(as_good, as_fast)]
        if len(as_good):
            chosen.append(("fastest at the baseline's score or better", as_good[0]))
        if len(both) > 2:
            gain = _unit(found.score[both] - base.score)
            saved = _unit(base.latency_s - found.costs.latency_s[both])
            chosen.append(("balanced", both[np.argmax(np.minimum(gain, saved))]))
        if len(as_fast):
            chosen.append(("best score at the baseline's latency or less", as_fast[-1]))
    if not chosen:
        rows = front(found)
        score = found.score[rows]
        middle = np.argmax(score >= (score.min() + score.max()) / 2)
        chosen = [("fastest of the better half", rows[middle]), ("best score", rows[-1])]
    roles: dict[int, list[str]] = {}
    for role, row in chosen:
        roles.setdefault(int(row), []).append(role)
    return [Winner(f"winner {i}", "; ".join(roles[row]), row) for i, row in enumerate(roles, 1)]


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.max() if values.max() > 0 else values


def require_feasible(problem: Problem, found: Evaluation) -> None:
    """Raises InfeasibleError, with how near the nearest came, if no row is feasible."""
    if found.feasible.any():
        return
    excess = np.maximum(found.violations, 0)
    nearest = int(np.argmin(excess.sum(axis=1)))
    missed = []
    for (cost, limit), over in zip(problem.constraints, excess[nearest], strict=True):
        if over > 0:
            value = limit * (1 + float(over))
            missed.append(f"{cost} {scaled(value, cost)} where at most {scaled(limit, cost)}")
    raise InfeasibleError(
        f"no architecture meets the budget: {len(found)} tried, the nearest has "
        f"{' and '.join(missed)}. Raise the budget or the number of trials"
    )


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
        """For people; `base` names the baseline."""
        gap = self.found_latency_s / self.latency_s - 1
        best, found = (scaled(s, "latency_s") for s in (self.latency_s, self.found_latency_s))
        return [
            f"at {base}'s score no network of the space is faster than {best}; found {found}, at "
            f"most {gap:.1%} from the best",
            f"at {base}'s latency none scores above {self.score:.2f}; found "
            f"{self.found_score:.2f}",
        ]


def limit_of(problem: Problem, found: Evaluation, base: Baseline | None) -> Limit | None:
    """The bound beside the best found; None without a baseline, with axes open that break a
    guideline, with a score from labels or above the estimate, or if nothing found reaches the
    baseline in one of the two."""
    score = problem.score
    known = score.caution >= 0 if isinstance(score, EstimateScore) else score == CLOSED_FORM
    if base is None or problem.relax or not known:
        return None
    as_good, as_fast = rivals(found, base)
    if not (len(as_good) and len(as_fast)):
        return None
    from search.optimizer.bound import Bounds

    bounds = Bounds(problem)
    return Limit(
        latency_s=bounds.latency_at(base.score),
        found_latency_s=float(found.costs.latency_s[as_good[0]]),
        score=bounds.score_at(base.latency_s),
        found_score=float(found.score[as_fast[-1]]),
    )
