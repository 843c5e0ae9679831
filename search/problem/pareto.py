"""Evaluations together: which rows no other beats, and several as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.problem.problem import Evaluation, Floats
from space.cost.lookup import Costs


def nondominated(score: Floats, latency: Floats) -> NDArray[np.intp]:
    """Rows that no other row beats in score (up) and latency (down), fastest first."""
    order = np.lexsort((-score, latency))
    best = np.maximum.accumulate(np.concatenate(([-np.inf], score[order][:-1])))
    return order[score[order] > best]


def concatenate(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation with the rows of several, in order."""
    costs = Costs(
        *(
            np.concatenate([getattr(e.costs, name) for e in evaluations])
            for name in Costs.__slots__
        )
    )
    return Evaluation(
        np.concatenate([e.genes for e in evaluations]),
        costs,
        np.concatenate([e.score for e in evaluations]),
        np.concatenate([e.violations for e in evaluations]),
    )
