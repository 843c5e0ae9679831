"""The best network, by bounds that come down and a best network that goes up until they meet.

The networks are split into regions: one of all, or the cells of a cautious score. The region with
the highest bound is next. Its prices are made tight, first on a coarse graph and then on the arcs
that may be better than the best network found. Then the paths whose bound is within a step of its
own are walked; what is left of it has a bound lower by that step, and the next step is twice as
wide. A region below the best network found is done.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from search.optimizer.exact.graph import Floats, PathGraph
from search.optimizer.exact.labels import Labels, Steps, walk
from search.optimizer.exact.relaxation import WHOLE, Cell, Cut, Goal, Relaxation, tightest
from space.architectures.search_space import Genes

TOLERANCE = 1e-9
"""What sums in another order may differ by, and far more; of an objective, relative to it."""
HEATS = (1e-2, 1e-3, 1e-4)
"""Of prices on the coarse graph, over the objective."""
LATER_HEATS = (1e-4, 1e-5)
MANY_ARCS = 40_000
"""For which prices are first made tight on the coarse graph."""
FEW_PATHS = 30_000
"""Which are walked at once."""
VARIED, SPREADS = 12, (0.03, 0.2)
"""Cuts beside the tightest: random prices about its own."""
FIRST_STEP = 1e-4
RATIO, SMALLEST = 1.3, 0.01
"""Of cells: their ends, and the first one's end over the last one's."""
FINEST = 0.1
"""What a chord may cost in a cell that is not split, over what its bound is above the best."""
MOST_LABELS = 300_000
"""Of a cell that is."""
MOST_WEIGHT = 1e5
"""Over the objective: of greater ones, rounding would reach the tolerance."""
NEAR = 0.03
"""How far below its bound, over the bound, one region is walked for a first network."""

Better = Callable[[Genes], float]
"""Takes genes [n, parameters] that seem to be better; returns the best objective of any that keeps
every limit, -inf if none does."""


@dataclass(eq=False)
class Region:
    """Networks that may be better than the best found.

    Args:
        graph: without arcs of worse ones.
        bound: on their objectives.
        step: how far below the bound paths are walked next.
        placed: whether the prices are its own.
        tight: whether they are the best for this graph.
    """

    cell: Cell
    graph: PathGraph
    prices: Floats
    bound: float = np.inf
    step: float = np.nan
    placed: bool = False
    tight: bool = False


@dataclass(eq=False)
class Prover:
    """A proof in progress: `run` works until the best network is proven, or until `deadline`.

    Args:
        better: see `Better`; it keeps the network.
        best: the objective of a network that is known.
        deadline: on the clock of `time.monotonic`.
        prices: to begin with, of another goal of the same kind; then those of this one.
        priced: the prices of each cell that got its own.
        labels: how many were made.
    """

    goal: Goal
    better: Better
    deadline: float
    best: float = -np.inf
    prices: Floats | None = None
    regions: list[Region] = field(default_factory=list)
    priced: dict[Cell, Floats] = field(default_factory=dict)
    labels: int = 0

    def run(self) -> None:
        """Open the regions, and close them one by one."""
        self._open()
        while self.regions and not self.late():
            region = self._next()
            if region.bound < self._least:
                self.regions.remove(region)
            elif not region.placed or (self.known and not region.tight):
                self._tighten(region)
            else:
                self._walk(region)

    @property
    def bound(self) -> float:
        """No network has a better objective."""
        return max([self.best, *(region.bound for region in self.regions)])

    @property
    def left(self) -> float:
        """The number of networks that no bound excludes; those of several cells count in each."""
        for region in self.regions:
            self._prune(region)
        return sum(region.graph.paths() for region in self.regions)

    def late(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self.deadline

    @property
    def _least(self) -> float:
        """The least objective that is not worse than the best known, or than any."""
        best = self.best if self.known else self.goal.lowest
        return best - TOLERANCE * abs(best)

    @property
    def known(self) -> bool:
        """Whether a network is known that keeps the limits."""
        return self.best > -np.inf

    def _open(self) -> None:
        """One region, or those of the cells with the prices of one of them."""
        goal, cells = self.goal, [WHOLE]
        if goal.cautious:
            count = int(np.ceil(-np.log(SMALLEST) / np.log(RATIO)))
            edges = 1.001 * goal.pieces.spread * RATIO ** np.arange(-count, 1.0)
            cells = list(itertools.pairwise([0.0, *edges.tolist()]))
        prices = goal.start() if self.prices is None else self.prices
        first = Region(cells[len(cells) // 2], goal.pieces.graph, prices)
        first.bound = self._bound(first)
        self.regions.append(first)
        self._tighten(first)
        self.prices = first.prices
        for cell in cells:
            if cell != first.cell:
                region = Region(cell, goal.pieces.graph, first.prices)
                region.bound = self._bound(region)
                self.regions.append(region)

    def _next(self) -> Region:
        """The region with the highest bound. Until a network is known, one that has its prices is
        walked for a while: with a network, all that is left to do is less. Then every region
        gets prices, each after its neighbour."""
        if not self.known:
            for region in self.regions:
                if region.placed and region.step <= NEAR * abs(region.bound):
                    return region
        others = [region for region in self.regions if not region.placed]
        if others:
            return min(others, key=lambda each: min(_apart(each.cell, c) for c in self.priced))
        return max(self.regions, key=lambda each: each.bound)

    def _cut(self, region: Region) -> Cut:
        return Relaxation(self.goal, region.cell).cut(region.prices)

    def _bound(self, region: Region) -> float:
        cut = self._cut(region)
        return region.graph.highest(cut.weights) + cut.constant

    def _pruned(self, graph: PathGraph, cuts: list[Cut], least: float) -> PathGraph:
        for cut in cuts:
            if graph.arcs:
                graph = graph.above(cut.weights, least - cut.constant)
        return graph

    def _prune(self, region: Region) -> None:
        region.graph = self._pruned(region.graph, [self._cut(region)], self._least)

    def _tighten(self, region: Region) -> None:
        """Better prices, and a graph without what they exclude."""
        if not region.placed:
            self._borrow(region)
        self._prune(region)
        if not self.known or region.graph.arcs > MANY_ARCS:
            self._improve(region, self.goal.pieces.coarse, HEATS)
            self._prune(region)
        if self.known and region.graph.paths() > FEW_PATHS:
            self._improve(region, region.graph, LATER_HEATS)
            self._prune(region)
        region.tight, region.placed = self.known, True
        self.priced[region.cell] = region.prices
        if not region.graph.arcs:
            self.regions.remove(region)
        elif region.graph.paths() <= FEW_PATHS:
            region.step = np.inf
        else:
            region.step = FIRST_STEP * max(abs(region.bound), 1e-3)  # never 0

    def _borrow(self, region: Region) -> None:
        """The prices of the nearest cell that has its own."""
        if self.priced:
            near = min(self.priced, key=lambda cell: _apart(cell, region.cell))
            prices = self.priced[near]
            if (bound := self._bound(replace(region, prices=prices))) < region.bound:
                region.bound, region.prices = bound, prices

    def _improve(self, region: Region, graph: PathGraph, heats: Sequence[float]) -> None:
        """Prices that are better on a graph, if they are on the region's too."""
        relaxation = Relaxation(self.goal, region.cell)
        size = abs(self._bound(region))
        prices = tightest(
            relaxation,
            graph,
            region.prices,
            [heat * size for heat in heats],
            self._least,
            self.late,
        )
        if np.abs(relaxation.cut(prices).weights).max() > MOST_WEIGHT * abs(self._least):
            return
        if (bound := self._bound(replace(region, prices=prices))) < region.bound:
            region.bound, region.prices = bound, prices

    def _walk(self, region: Region) -> None:
        """Walk the paths within a step of the bound; split a cell that has too many."""
        least = max(region.bound - region.step, self._least)
        cuts = self._varied(region)
        graph = self._pruned(region.graph, cuts, least)
        if graph.arcs:
            most = MOST_LABELS if self._can_split(region) else np.inf
            walked = walk(Steps(graph, cuts), least, self._finish, self.late, most)
            self.labels += walked.labels
            if walked.bound > -np.inf:  # stopped
                region.bound = min(region.bound, max(least, walked.bound))
                if not self.late():
                    self._split(region)
                return
        region.bound = least
        region.step *= 2
        if least <= self._least:
            self.regions.remove(region)

    def _can_split(self, region: Region) -> bool:
        """Whether two cells would have bounds that are lower by something that counts."""
        if not self.goal.cautious:
            return False
        chord = Relaxation(self.goal, region.cell).chord(region.prices)
        return chord > FINEST * (region.bound - self._least)

    def _split(self, region: Region) -> None:
        """Two cells in place of one."""
        low, high = region.cell
        middle = float(np.sqrt(low * high)) if low else high / 2
        self.regions.remove(region)
        for cell in ((low, middle), (middle, high)):
            self.regions.append(replace(region, cell=cell, tight=False))

    def _varied(self, region: Region) -> list[Cut]:
        """The cut of a region's prices, and those of random ones about them."""
        random = np.random.default_rng(0)
        relaxation = Relaxation(self.goal, region.cell)
        free = len(region.prices) - self.goal.tangents
        found = [relaxation.cut(region.prices)]
        for spread in itertools.islice(itertools.cycle(SPREADS), VARIED):
            prices = region.prices.copy()
            prices[:free] *= np.exp(random.normal(0, spread, free))
            prices[free:] += random.normal(0, spread / 10, len(prices) - free)
            found.append(relaxation.cut(prices))
        return found

    def _finish(self, labels: Labels) -> float:
        """Have whole paths looked at; returns the least objective that is still of interest."""
        kept = self.goal.excess(labels.sums) <= TOLERANCE
        kept &= self.goal.value(labels.sums) >= self._least
        if kept.any():
            genes = self.goal.pieces.genes(labels.rows[kept])
            self.best = max(self.best, self.better(genes))
        return self._least


def _apart(first: Cell, second: Cell) -> float:
    return abs(float(np.log(first[1] / second[1])))
