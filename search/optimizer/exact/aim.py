"""What is asked for, in the problem's units and in those of the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.optimizer.exact.pieces import LATENCY, Pieces
from search.optimizer.exact.relaxation import Goal
from search.problem.budget import scaled
from search.problem.problem import Evaluation
from space.architectures.search_space import Genes
from space.common.errors import InfeasibleError
from space.common.text import shorten

OBJECTIVES = ("score", "latency")


@dataclass(frozen=True, slots=True)
class Aim:
    """The objective, and the limit of the other.

    Raises:
        ValueError: an unknown objective, or a limit that it does not take.
    """

    objective: str
    most_latency_s: float | None = None
    least_score: float | None = None

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            known = ", ".join(OBJECTIVES)
            raise ValueError(f"`objective` must be one of {known}; got {shorten(self.objective)}")
        if self.objective == "score" and self.least_score is not None:
            raise ValueError("`least_score` is a limit where the objective is latency; got score")
        if self.objective == "latency" and self.most_latency_s is not None:
            raise ValueError(
                "`most_latency_s` is a limit where the objective is score; got latency"
            )
        if self.most_latency_s is not None and not self.most_latency_s > 0:
            raise ValueError(f"`most_latency_s` must be above 0; got {self.most_latency_s:g}")
        if self.least_score is not None and not np.isfinite(self.least_score):
            raise ValueError(f"`least_score` must be a number; got {self.least_score}")

    def units(self, pieces: Pieces, value: float) -> float:
        """A score, or a latency in seconds, as the graph's objective."""
        if self.objective == "score":
            return pieces.to_worth(value)
        return -value / pieces.scales[LATENCY]

    def natural(self, pieces: Pieces, objective: float) -> float:
        """The graph's objective as a score, or a latency in seconds."""
        if self.objective == "score":
            return pieces.to_score(objective)
        return max(0.0, -objective * pieces.scales[LATENCY])


def goal_of(pieces: Pieces, aim: Aim) -> Goal:
    """The aim in the units of the graph.

    Raises:
        InfeasibleError: no network has the least score.
    """
    limits = dict(pieces.limits)
    if aim.most_latency_s is not None:
        own = aim.most_latency_s / pieces.scales[LATENCY]
        limits[LATENCY] = min(own, limits.get(LATENCY, own))
    least, score = None, aim.least_score
    if score is not None:
        lowest, highest = (pieces.to_score(worth) for worth in pieces.worths)
        if score > highest:
            raise InfeasibleError(f"{why_none(pieces, aim)}: none scores above {highest:.6g}")
        least = pieces.to_worth(score) if score > lowest else None
    return Goal(
        pieces,
        aim.objective == "score",
        tuple(pieces.column(cost) for cost in limits),
        np.array(list(limits.values())),
        least,
    )


def why_none(pieces: Pieces, aim: Aim) -> str:
    """The limits that no network keeps."""
    limits = dict(pieces.problem.constraints)
    if aim.most_latency_s is not None:
        own = aim.most_latency_s
        limits[LATENCY] = min(own, limits.get(LATENCY, own))
    texts = [f"{cost} of at most {scaled(limit, cost)}" for cost, limit in limits.items()]
    if aim.least_score is not None:
        texts.append(f"a score of at least {aim.least_score:.6g}")
    return f"no network of the space has {', '.join(texts)}"


class Judge:
    """Keeps the best network of those that the problem says keep every limit."""

    def __init__(self, pieces: Pieces, aim: Aim) -> None:
        self.found: Evaluation | None = None
        self._pieces, self._aim = pieces, aim
        self._key = (-np.inf, -np.inf)

    def __call__(self, genes: Genes) -> float:
        """The best objective of genes in the units of the graph, -inf without one."""
        found, aim = self._pieces.problem.evaluate(genes), self._aim
        latency, score = found.costs.latency_s, found.score
        kept = found.feasible
        if aim.most_latency_s is not None:
            kept &= latency <= aim.most_latency_s
        if aim.least_score is not None:
            kept &= score >= aim.least_score
        rows = np.flatnonzero(kept)
        if not len(rows):
            return -np.inf
        first, second = (score, -latency) if aim.objective == "score" else (-latency, score)
        best = rows[np.lexsort((second[rows], first[rows]))[-1:]]
        key = (float(first[best[0]]), float(second[best[0]]))
        if key > self._key:
            self._key, self.found = key, found.take(best)
        return aim.units(self._pieces, abs(key[0]) if aim.objective == "latency" else key[0])

    @property
    def value(self) -> float:
        """The score, or the latency in seconds, of the best network."""
        return abs(self._key[0]) if self._aim.objective == "latency" else self._key[0]
