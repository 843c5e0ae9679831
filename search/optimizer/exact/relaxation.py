"""Sums that no network's objective exceeds: prices on limits, and a cautious score in cells.

A network that keeps each limit, sum_j <= limit_j, has at most the value objective + sum of
price_j * (limit_j - sum_j), for any prices >= 0 (Lagrangian relaxation). The cautious score
A - k sqrt(D + |f|^2) is no sum. Three steps make one that is never below it, within a cell of
networks with q <= sqrt(V) <= r, where V = D + |f|^2:

1. The root is concave, and so above its chord: sqrt(V) >= (V + q r) / (q + r).
2. A square is above its tangents: |f|^2 >= 2 w f - |w|^2 for any w.
3. D + 2 w f - |w|^2 <= V <= r^2 is a limit, with its own price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from search.optimizer.exact.descent import descend
from search.optimizer.exact.graph import Floats, PathGraph
from search.optimizer.exact.pieces import LATENCY, Pieces

Cell = tuple[float, float]
"""Networks by sqrt(V), from the one to the other."""
WHOLE: Cell = (0.0, np.inf)


@dataclass(frozen=True, eq=False)
class Goal:
    """What is maximised, in the units of the graph: the score, or the latency with a minus.

    Args:
        scored: whether it is the score.
        columns, limits: attributes, and the most of each, [limits].
        least: the least score where the latency is minimised; None: any.
    """

    pieces: Pieces
    scored: bool
    columns: tuple[int, ...]
    limits: Floats
    least: float | None = None

    @property
    def cautious(self) -> bool:
        """Whether the score matters, and is no sum."""
        return self.pieces.caution > 0 and (self.scored or self.least is not None)

    def value(self, sums: Floats) -> Floats:
        """The objective of attributes [attributes, n]."""
        if self.scored:
            return self.pieces.worth(sums)
        return np.asarray(-sums[self.pieces.column(LATENCY)])

    @cached_property
    def lowest(self) -> float:
        """An objective that no network is below."""
        if self.scored:
            return self.pieces.worths[0]
        weights = np.zeros(self.pieces.attributes)
        weights[self.pieces.column(LATENCY)] = 1
        return -self.pieces.graph.highest(weights)

    def excess(self, sums: Floats) -> Floats:
        """By how much attributes [attributes, n] exceed the worst of the limits, [n]."""
        over = (sums[list(self.columns)] - self.limits[:, None]).max(axis=0, initial=-np.inf)
        if self.least is not None:
            over = np.maximum(over, self.least - self.pieces.worth(sums))
        return np.asarray(over)

    def start(self) -> Floats:
        """Prices to begin with: see `Relaxation`."""
        priced = len(self.columns) + (self.least is not None)
        return np.append(np.full(priced, 0.3), np.zeros(self.tangents + self.cautious))

    @property
    def tangents(self) -> int:
        """The number of factors, whose squares have tangents."""
        return self.pieces.scored - 2 if self.cautious else 0


@dataclass(frozen=True, eq=False)
class Cut:
    """No network of a cell has a better objective than weights * attributes + constant."""

    weights: Floats
    constant: float


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The sums of a goal in a cell, by prices: of each limit, of the least score if there is one,
    of V <= r^2 where the score is cautious, and then the tangent w."""

    goal: Goal
    cell: Cell

    def cut(self, prices: Floats) -> Cut:
        """The sum of some prices."""
        goal, pieces = self.goal, self.goal.pieces
        limits, score, top, w = self._split(prices)
        weights = np.zeros(pieces.attributes)
        np.subtract.at(weights, list(goal.columns), limits)
        constant = float(limits @ goal.limits)
        weights[0] = score
        if not goal.scored:
            weights[pieces.column(LATENCY)] -= 1
        if goal.least is not None:
            constant -= score * goal.least
        if goal.cautious:
            share, (q, r) = self._share, self.cell
            slope = score * share + top
            weights[1] = -slope
            weights[2 : pieces.scored] = -2 * slope * w
            constant += slope * float(w @ w) - score * share * q * r + top * r * r
        return Cut(weights, constant)

    def gradient(self, prices: Floats, sums: Floats) -> Floats:
        """How the value of attributes, [attributes], changes with the prices."""
        goal, pieces = self.goal, self.goal.pieces
        _, score, top, w = self._split(prices)
        found = [*(goal.limits - sums[list(goal.columns)])]
        by_score, touched = sums[0], 0.0
        if goal.cautious:
            share, (q, r), f = self._share, self.cell, sums[2 : pieces.scored]
            touched = sums[1] + 2 * float(w @ f) - float(w @ w)
            by_score -= share * (touched + q * r)
        if goal.least is not None:
            found.append(by_score - goal.least)
        if goal.cautious:
            found += [r * r - touched, *(2 * (score * share + top) * (w - f))]
        return np.array(found)

    def chord(self, prices: Floats) -> float:
        """By how much the chord alone can keep a cut above the objective."""
        (q, r), (_, score, _, _) = self.cell, self._split(prices)
        return score * self.goal.pieces.caution * (r - q) ** 2 / (4 * (q + r))

    @property
    def _share(self) -> float:
        return self.goal.pieces.caution / sum(self.cell)

    def _split(self, prices: Floats) -> tuple[Floats, float, float, Floats]:
        """The prices of limits and score, of V, and the tangent."""
        count = len(self.goal.columns)
        limits, rest = prices[:count], prices[count:]
        score = float(self.goal.scored)
        if self.goal.least is not None:
            score, rest = float(rest[0]), rest[1:]
        return limits, score, float(rest[0]) if len(rest) else 0.0, rest[1:]


def tightest(
    relaxation: Relaxation,
    graph: PathGraph,
    start: Floats,
    heats: Sequence[float],
    least: float,
    late: Callable[[], bool],
) -> Floats:
    """The prices, from `start`, at which the best path of a graph is worth least.

    The value is convex in prices and piecewise linear. We minimise a smooth one above it, with
    less and less heat (Nesterov, "Smooth minimization of non-smooth functions", 2005).
    """
    lowest = np.zeros(len(start))
    lowest[len(start) - relaxation.goal.tangents :] = -np.inf

    def loss(heat: float, prices: Floats) -> tuple[float, Floats]:
        cut = relaxation.cut(prices)
        value, sums = graph.softened(cut.weights, heat)
        return value + cut.constant, relaxation.gradient(prices, sums)

    def stop(value: float) -> bool:
        return late() or value < least

    prices = start
    for heat in heats:
        prices = descend(partial(loss, heat), prices, lowest, stop)
    return prices
