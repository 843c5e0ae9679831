"""The front of latency and score at even steps of latency, each of its networks proven.

Each step is an optimum: the highest score within a latency (the epsilon-constraint method: Haimes,
Lasdon and Wismer, 1971).
"""

from __future__ import annotations

import time

import numpy as np

from search.optimizer.exact.optimum import Optimum, optimum
from search.optimizer.exact.pieces import pieces_of
from search.problem.problem import Problem

STEPS, SECONDS = 20, 60.0


def exact_front(
    problem: Problem, *, steps: int = STEPS, seconds: float = SECONDS
) -> list[Optimum]:
    """The networks with the highest scores within latencies, at even steps from the latency of
    the fastest network to that of the network with the highest score; fastest first.

    A network is there once, though several latencies may have it. Where time is short, some are
    not `proven`, or have no network.

    Args:
        steps: the number of latencies.
        seconds: for all of them.

    Raises:
        ValueError: fewer than two steps, no time, or a problem without a known optimum.
        InfeasibleError: no network keeps the limits.

    Example:
        >>> from latency.table.load import load_table
        >>> from search import Problem, parse_budgets
        >>> from search.optimizer.exact.front import exact_front
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["41M"]))
        >>> [each.proven for each in exact_front(problem, steps=3)]
        [True, True, True]
    """
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2; got {steps}")
    end = time.monotonic() + seconds
    pieces = pieces_of(problem)

    def share(left: int) -> float:
        return max(1e-3, (end - time.monotonic()) / left)

    fastest = optimum(problem, "latency", seconds=share(steps + 1), pieces=pieces)
    best = optimum(problem, "score", seconds=share(steps), pieces=pieces)
    if fastest.found is None or best.found is None:
        return [fastest, best]
    latencies = [float(each.found.costs.latency_s[0]) for each in (fastest, best) if each.found]
    found: list[Optimum] = []
    prices = None
    for number, latency_s in enumerate(np.linspace(latencies[0], latencies[1], steps)[:-1]):
        known = [each.found.genes for each in found[-1:] if each.found] or [fastest.found.genes]
        each = optimum(
            problem,
            "score",
            most_latency_s=float(latency_s),
            start=known[0],
            seconds=share(steps - 1 - number),
            pieces=pieces,
            prices=prices,
        )
        prices = each.prices
        found.append(each)
    found.append(best)
    return _distinct(found)


def _distinct(found: list[Optimum]) -> list[Optimum]:
    """Each network once: where it is proven, if it is."""
    kept: dict[bytes, Optimum] = {}
    for each in found:
        key = b"" if each.genes is None else each.genes.tobytes()
        if key not in kept or (each.proven and not kept[key].proven):
            kept[key] = each
    return list(kept.values())
