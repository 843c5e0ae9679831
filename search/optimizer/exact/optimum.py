"""The best network of a space, with a proof or with how far it may be from the best."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.optimizer.exact.aim import Aim, Judge, goal_of, why_none
from search.optimizer.exact.graph import Floats
from search.optimizer.exact.pieces import Pieces, pieces_of
from search.optimizer.exact.prover import Prover
from search.problem.problem import Evaluation, Problem
from space.architectures.search_space import Genes
from space.common.errors import InfeasibleError

SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """The best network known, and what none exceeds.

    Args:
        objective: "score", the highest, or "latency", the lowest.
        found: the network, one row, as the problem evaluates it; None: none is known that keeps
            the limits.
        bound: no network that keeps the limits has a higher score, or a latency in seconds below.
        proven: whether no network is better, to within a relative 1e-9.
        left: the number of networks that may be; at most, if time was up.
        networks: of the space.
        seconds: that it took.
        prices: what a proof of a goal of the same kind may begin with.
    """

    objective: str
    found: Evaluation | None
    bound: float
    proven: bool
    left: float
    networks: float
    seconds: float
    prices: Floats | None = None

    @property
    def genes(self) -> NDArray[np.int16] | None:
        """Int16 [parameters]; None without a network."""
        return None if self.found is None else self.found.genes[0]

    @property
    def value(self) -> float:
        """The score, or the latency in seconds; NaN without a network."""
        if self.found is None:
            return float("nan")
        score = self.objective == "score"
        return float((self.found.score if score else self.found.costs.latency_s)[0])

    @property
    def gap(self) -> float:
        """How far the value may be from the best, over the value; 0 if proven."""
        return 0.0 if self.proven else abs(self.bound - self.value) / abs(self.value)

    def line(self) -> str:
        """What is known of it, for people.

        Example:
            >>> from latency.table.load import load_table
            >>> from search import Problem, parse_budgets
            >>> from search.optimizer.exact.optimum import optimum
            >>> from space import ShuffleNetV2Space
            >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["41M"]))
            >>> optimum(problem, "latency").line()
            'proven best of 1.6e15'
        """
        if self.found is None:
            return f"none found in {self.seconds:.0f} s"
        if self.proven:
            return f"proven best of {_power(self.networks)}"
        return f"at most {100 * self.gap:.2g} % from the best"


def optimum(
    problem: Problem,
    objective: str = "score",
    *,
    most_latency_s: float | None = None,
    least_score: float | None = None,
    start: Genes | None = None,
    seconds: float = SECONDS,
    pieces: Pieces | None = None,
    prices: Floats | None = None,
) -> Optimum:
    """The network with the highest score, or the lowest latency, of all that keep the limits.

    Budgets and G1-G4 are the problem's. Of networks whose objectives are equal, the one that is
    better in the other is taken.

    Args:
        objective: "score" or "latency".
        most_latency_s: the most latency where the score is maximised, beside a budget.
        least_score: the least score where the latency is minimised.
        start: genes [n, parameters] that are known; those that keep the limits make it faster.
        seconds: after which the best network known is returned with what is proven of it.
        pieces: of the problem, if they are at hand.
        prices: of an optimum with another limit.

    Raises:
        ValueError: another objective, a limit of the other objective or that is not above 0, no
            time, or a problem whose optimum is not known to be a sum (`pieces_of`).
        InfeasibleError: no network keeps the limits.

    Example:
        >>> from latency.table.load import load_table
        >>> from search import Problem, baseline, parse_budgets
        >>> from search.optimizer.exact.optimum import optimum
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
        >>> best = optimum(problem, "score", most_latency_s=baseline(problem).latency_s)
        >>> best.proven, f"{best.value:.3f}"
        (True, '39.534')
    """
    began = time.monotonic()
    aim = Aim(objective, most_latency_s, least_score)
    if not seconds > 0:
        raise ValueError(f"`seconds` must be above 0; got {seconds:g}")
    pieces = pieces_of(problem) if pieces is None else pieces
    judge = Judge(pieces, aim)
    prover = Prover(goal_of(pieces, aim), judge, began + seconds, prices=prices)
    if start is not None:
        prover.best = judge(start)
    prover.run()
    if not prover.regions and judge.found is None:
        raise InfeasibleError(why_none(pieces, aim))
    bound = prover.bound
    return Optimum(
        objective=objective,
        found=judge.found,
        bound=judge.value if not prover.regions else aim.natural(pieces, bound),
        proven=not prover.regions,
        left=prover.left if prover.regions else 0.0,
        networks=pieces.graph.paths(),
        seconds=time.monotonic() - began,
        prices=prover.prices,
    )


def _power(count: float) -> str:
    """A large number on a line: 1.6e15."""
    mantissa, _, exponent = f"{count:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if count >= 1e6 else f"{count:.0f}"
