"""Sums above the cautious estimate, for bounds.

The estimate ranks by A - k sqrt(V), with k >= 0 the caution and V = D + |f|^2: D is a sum over the
parameters, and f are a few sums, those of the factors that all stages share
(`search.problem.estimate_score`). Two steps make a sum that is never below it.

1. Networks are sorted into cells by sqrt(V), from q to r. The root is concave, so within a cell it
   is above its chord: sqrt(V) >= (V + q r) / (q + r). A grid of cells covers all values of V.
2. A square is above its tangents: |f|^2 >= 2 w f - |w|^2 for any w.

So in a cell the score is at most A - k (D + 2 w f - |w|^2 + q r) / (q + r). That is a sum, and its
highest value over all networks bounds those of the cell. We choose prices and w for a tight bound
in each cell; the bound of the space is the highest of the cells', whichever w are chosen. With
cells of `RATIO` a chord is at most 1 % below the root.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from evaluator.estimate.axes import FACTORS
from search.problem.estimate_score import COMMON, DIAGONAL, WORTH, EstimateScore
from search.problem.problem import Floats
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space

RATIO = 1.3
SMALLEST = 0.01  # sqrt(V) over the largest one: the end of the first cell
ROUNDS = 3  # of tangents in turn with prices
MOST_REFINED = 12
TOLERANCE = 2e-4  # of a loss, for which a cell is refined again
STEP = 1e-5

ScoreTables = dict[tuple[str, ...], Floats]
"""What parameters add to a sum: one of a stem, width, kernel or head, and two, [depth, split]."""
Cell = tuple[float, float]
NO_CELL: Cell = (0.0, np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Above:
    """A sum that is at least A - k sqrt(V) in a cell, less a constant: A + slope * (D + 2 w f)."""

    slope: float
    tangent: Floats
    constant: float


class EstimateAbove:
    """Sums above the cautious estimate of one problem.

    Raises:
        ValueError: the caution is below 0, where the score is above the mean.
    """

    def __init__(self, space: ShuffleNetV2Space, score: EstimateScore) -> None:
        if score.caution < 0:
            raise ValueError(
                f"a bound needs an optimism of at most 1; got {score.optimism:g}, an objective "
                "above the estimate"
            )
        self._caution = score.caution
        self._parts = {space.parameters[term.column].name: term.table for term in score.terms}

    def cells(self) -> list[Cell]:
        """From 0 to the largest sqrt(V) and above."""
        if not self._caution:
            return [NO_CELL]
        parts = self._parts.values()
        common = sum(np.abs(part[:, COMMON]).max(axis=0) for part in parts)
        largest = np.sqrt(sum(part[:, DIAGONAL].max() for part in parts) + np.square(common).sum())
        count = int(np.ceil(-np.log(SMALLEST) / np.log(RATIO)))
        edges = [0.0, *(1.001 * largest * RATIO ** np.arange(-count, 1.0))]
        return list(itertools.pairwise(edges))

    def above(self, cell: Cell, tangent: Floats) -> Above:
        """The sum above the score in a cell."""
        if not self._caution:
            return Above(0.0, tangent, 0.0)
        share = self._caution / sum(cell)
        return Above(-share, tangent, -share * (cell[0] * cell[1] - float(tangent @ tangent)))

    def tables(self, above: Above) -> ScoreTables:
        """What each parameter adds to a sum."""
        worth = {
            name: part[:, WORTH]
            + above.slope * (part[:, DIAGONAL] + 2 * part[:, COMMON] @ above.tangent)
            for name, part in self._parts.items()
        }
        found: ScoreTables = {("stem",): worth["stem"], ("head",): worth["head"]}
        for stage in STAGES:
            depth, split = f"depth{stage}", f"split{stage}"
            found[depth, split] = worth[depth][:, None] + worth[split]
            for name in (f"width{stage}", f"kernel{stage}"):
                found[(name,)] = worth[name]
        return found


Loss = Callable[[Mapping[str, float], Above | None], float]
"""A bound by prices and a sum above the score: any is right, the lowest is the tightest."""


def lowest(
    loss: Loss, start: Mapping[str, float], above: Above | None, evaluations: int
) -> dict[str, float]:
    """The prices >= 0, searched from `start`, where a loss is lowest."""

    def prices(logs: Floats) -> dict[str, float]:
        return dict(zip(start, np.exp(np.clip(logs, -80, 80)).tolist(), strict=True))

    found = minimize(
        lambda logs: loss(prices(logs), above),
        np.log(list(start.values())),
        method="Nelder-Mead",
        options={"maxfev": evaluations * len(start), "xatol": 1e-3, "fatol": 1e-5},
    )
    return prices(found.x)


@dataclass(slots=True)
class _Bounded:
    """A cell, the lowest loss in it so far, and the prices and tangent of that."""

    cell: Cell
    loss: float
    prices: Mapping[str, float]
    tangent: Floats
    refined: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CellBounds:
    """The bound of a space: the highest over the cells of the lowest loss in each.

    Args:
        best: the highest sum - price * cost of any network.
        loss: the bound that follows from it.
        evaluations: for each price, in a cell.
    """

    sums: EstimateAbove
    best: Loss
    loss: Loss
    evaluations: int

    def highest(self, start: Mapping[str, float]) -> float:
        """Cells are refined in the order of their losses, until the highest one is."""
        tangent = np.zeros(len(FACTORS))
        found = [
            _Bounded(cell, self._value(cell, start, tangent), start, tangent)
            for cell in self.sums.cells()
        ]
        for _ in range(MOST_REFINED):
            top = max(found, key=lambda each: each.loss)
            if top.refined:
                break
            self._refine(top)
            for each in found:
                # |f| is at most sqrt(V).
                tangent = top.tangent * min(1.0, each.cell[1] / top.cell[1])
                if (other := self._value(each.cell, top.prices, tangent)) < each.loss:
                    each.loss, each.prices, each.tangent = other, top.prices, tangent
        return max(each.loss for each in found)

    def _value(self, cell: Cell, prices: Mapping[str, float], tangent: Floats) -> float:
        return self.loss(prices, self.sums.above(cell, tangent))

    def _refine(self, top: _Bounded) -> None:
        """Lower the loss of a cell, by prices and by the tangent at the best network in turn."""
        before, prices, tangent = top.loss, top.prices, top.tangent
        for _ in range(ROUNDS):
            above = self.sums.above(top.cell, tangent)
            prices = lowest(self.loss, prices, above, self.evaluations // ROUNDS)
            if (now := self.loss(prices, above)) < top.loss:
                top.loss, top.prices, top.tangent = now, prices, tangent
            if not above.slope:
                break
            # Half-way: the best network changes with the tangent.
            tangent = (tangent + self._touched(prices, above)) / 2
            norm = float(np.linalg.norm(tangent))
            tangent *= min(1.0, top.cell[1] / norm) if norm else 1.0
        top.refined = not above.slope or before - top.loss < TOLERANCE * abs(top.loss)

    def _touched(self, prices: Mapping[str, float], above: Above) -> Floats:
        """f of the best network: a sum changes by slope * 2 f with the tangent."""
        here, found = self.best(prices, above), np.zeros(len(FACTORS))
        for index in range(len(FACTORS)):
            tangent = above.tangent.copy()
            tangent[index] += STEP
            changed = self.best(prices, replace(above, tangent=tangent)) - here
            found[index] = changed / (2 * STEP * above.slope)
        return found
