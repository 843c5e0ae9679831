"""Which of the evaluated architectures answer the question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem.baseline import Baseline
from search.problem.budget import scaled
from search.problem.pareto import nondominated
from search.problem.problem import Evaluation, Problem
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


def winners(found: Evaluation, base: Baseline | None) -> list[Winner]:
    """At most three architectures of the front.

    With a baseline: the fastest that scores at least as high, the highest score that is at least
    as fast, and the one in between that is furthest ahead in the worse of both. Without one: the
    highest score, and the fastest within half of the front's range of scores.
    """
    rows = front(found)
    score, latency = found.score[rows], found.costs.latency_s[rows]
    chosen: list[tuple[str, int]] = []
    if base is not None:
        base_score, base_latency = base.found.score[0], base.found.costs.latency_s[0]
        as_good = np.flatnonzero(score >= base_score)
        as_fast = np.flatnonzero(latency <= base_latency)
        both = np.intersect1d(as_good, as_fast)
        if len(as_good):
            chosen.append(("fastest at the baseline's score or better", int(as_good[0])))
        if len(both) > 2:
            gain = _unit(score[both] - base_score)
            saved = _unit(base_latency - latency[both])
            chosen.append(("balanced", int(both[np.argmax(np.minimum(gain, saved))])))
        if len(as_fast):
            chosen.append(("best score at the baseline's latency or less", int(as_fast[-1])))
    if not chosen:
        middle = np.flatnonzero(score >= (score.min() + score.max()) / 2)[0]
        chosen = [("fastest of the better half", int(middle)), ("best score", len(rows) - 1)]
    unique: dict[int, str] = {}
    for role, place in chosen:
        row = int(rows[place])
        unique[row] = f"{unique[row]}; {role}" if row in unique else role
    return [Winner(f"winner {i}", role, row) for i, (row, role) in enumerate(unique.items(), 1)]


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
            value = float(getattr(found.costs, cost)[nearest])
            missed.append(f"{cost} {scaled(value, cost)} where at most {scaled(limit, cost)}")
    raise InfeasibleError(
        f"no architecture meets the budget: {len(found)} tried, the nearest has "
        f"{' and '.join(missed)}. Raise the budget or the number of trials"
    )
