"""The networks of a space as paths of a layered graph.

A path takes one arc of each layer. Its attributes (costs, score) are the sums of those of its
arcs. So for any weights of the attributes, dynamic programming finds the best path, and what the
best path through each arc is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ArcLayer:
    """n arcs, sorted by the node where they end.

    Args:
        tail, head: the nodes where each starts and ends, int [n].
        sums: what it adds to each attribute, [attributes, n].
        rows: its row in the layer of the whole space, int [n].
        starts, ends: the number of nodes.
    """

    tail: Indices
    head: Indices
    sums: Floats
    rows: Indices
    starts: int
    ends: int

    @classmethod
    def of(cls, tail: Indices, head: Indices, sums: Floats, starts: int, ends: int) -> ArcLayer:
        """The layer of arcs in any order, whose rows are their positions."""
        rows = np.argsort(head, kind="stable")
        return cls(tail[rows], head[rows], np.ascontiguousarray(sums[:, rows]), rows, starts, ends)

    def take(self, kept: NDArray[np.bool_]) -> ArcLayer:
        """The layer of some arcs, bool [n]."""
        return replace(
            self,
            tail=self.tail[kept],
            head=self.head[kept],
            sums=np.ascontiguousarray(self.sums[:, kept]),
            rows=self.rows[kept],
        )

    @cached_property
    def runs(self) -> Indices:
        """The first arc of each node where arcs end."""
        return _runs(self.head)

    @cached_property
    def sizes(self) -> Indices:
        """The number of arcs of each such node."""
        return np.diff(np.append(self.runs, len(self.head)))

    @cached_property
    def by_tail(self) -> Indices:
        """The arcs in the order of the nodes where they start."""
        return np.argsort(self.tail, kind="stable")

    @cached_property
    def tail_runs(self) -> Indices:
        """The first of each node, in that order."""
        return _runs(self.tail[self.by_tail])


def weighted(weights: Floats, sums: Floats) -> Floats:
    """weights * sums, of [attributes] and [attributes, n]. On so few rows the threads of BLAS take
    ten times as long to start and wait as one needs for the work."""
    return np.asarray(np.einsum("a,an->n", weights, sums))


def _runs(sorted_nodes: Indices) -> Indices:
    return np.flatnonzero(np.diff(sorted_nodes, prepend=-1))


@dataclass(frozen=True, eq=False)
class PathGraph:
    """Layers, each from the nodes where the one before ends; one first and one last node."""

    layers: tuple[ArcLayer, ...]

    @property
    def arcs(self) -> int:
        """The number of arcs."""
        return sum(len(layer.tail) for layer in self.layers)

    def paths(self) -> float:
        """The number of paths."""
        count: Floats = np.ones(1)
        for layer in self.layers:
            count = np.asarray(np.bincount(layer.head, count[layer.tail], layer.ends), float)
        return float(count[0])

    def values(self, weights: Floats) -> list[Floats]:
        """What each arc is worth at weights [attributes]; a layer each."""
        return [weighted(weights, layer.sums) for layer in self.layers]

    def from_start(self, values: Sequence[Floats]) -> list[Floats]:
        """The most that a path from the start to each node is worth; -inf where there is none."""
        found = [np.zeros(1)]
        for layer, value in zip(self.layers, values, strict=True):
            reached = np.full(layer.ends, -np.inf)
            if len(value):
                arriving = found[-1][layer.tail] + value
                reached[layer.head[layer.runs]] = np.maximum.reduceat(arriving, layer.runs)
            found.append(reached)
        return found

    def to_end(self, values: Sequence[Floats]) -> list[Floats]:
        """The most that a path from each node to the end is worth; -inf where there is none."""
        found = [np.zeros(1)]
        for layer, value in zip(reversed(self.layers), reversed(values), strict=True):
            reached = np.full(layer.starts, -np.inf)
            if len(value):
                leaving = (found[-1][layer.head] + value)[layer.by_tail]
                nodes = layer.tail[layer.by_tail][layer.tail_runs]
                reached[nodes] = np.maximum.reduceat(leaving, layer.tail_runs)
            found.append(reached)
        return found[::-1]

    def highest(self, weights: Floats) -> float:
        """What the best path is worth; -inf without paths."""
        return float(self.from_start(self.values(weights))[-1][0])

    def best(self, weights: Floats) -> tuple[float, Floats, list[int]]:
        """What the best path is worth, its attributes, and the row of its arc in each layer."""
        values = self.values(weights)
        reached = self.from_start(values)
        node, rows, sums = 0, [], np.zeros(len(weights))
        for index in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[index]
            first, end = np.searchsorted(layer.head, [node, node + 1])
            arriving = reached[index][layer.tail[first:end]] + values[index][first:end]
            arc = first + int(np.argmax(arriving))
            rows.append(int(layer.rows[arc]))
            sums += layer.sums[:, arc]
            node = int(layer.tail[arc])
        return float(reached[-1][0]), sums, rows[::-1]

    def softened(self, weights: Floats, heat: float) -> tuple[float, Floats]:
        """A smooth value that is never below `highest`: heat * log(sum over paths of
        exp(value / heat)), and its gradient by the weights, [attributes]."""
        reached, shares = np.zeros(1), []
        for layer in self.layers:
            arriving = reached[layer.tail] + weighted(weights / heat, layer.sums)
            most = np.maximum.reduceat(arriving, layer.runs)
            part = np.exp(arriving - np.repeat(most, layer.sizes))
            total = np.add.reduceat(part, layer.runs)
            reached = np.full(layer.ends, -np.inf)
            reached[layer.head[layer.runs]] = most + np.log(total)
            shares.append(part / np.repeat(total, layer.sizes))
        gradient: Floats = np.zeros(len(weights))
        at: Floats = np.ones(1)
        for layer, share in zip(reversed(self.layers), reversed(shares), strict=True):
            taken = share * at[layer.head]
            gradient += np.einsum("an,n->a", layer.sums, taken)
            at = np.asarray(np.bincount(layer.tail, taken, layer.starts), float)
        return heat * float(reached[0]), gradient

    def above(self, weights: Floats, least: float) -> PathGraph:
        """The graph of the arcs through which a path is worth at least `least`."""
        values = self.values(weights)
        before, after = self.from_start(values), self.to_end(values)
        kept = [
            layer.take(before[index][layer.tail] + values[index] + after[index + 1][layer.head]
                       >= least)
            for index, layer in enumerate(self.layers)
        ]  # fmt: skip
        return PathGraph(tuple(kept))
