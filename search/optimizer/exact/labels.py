"""Every path that may still be better: label setting with bounds.

A label is a path from the start to a node. Several cuts bound what it can become: its attributes
and the best that the rest of a path adds, at the weights of each cut. The arcs that go on from a
node are sorted by what they lose of the first cut, so that only those within the loss that is left
are looked at (Waterman and Byers, "A dynamic programming algorithm to find all solutions in a
neighborhood of the optimum", 1985); the other cuts then sift them. Labels are taken in batches,
depth first and the most promising first, which keeps memory small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.optimizer.exact.graph import Floats, Indices, PathGraph, weighted
from search.optimizer.exact.relaxation import Cut

BATCH = 20_000
MOST_CHILDREN = 400_000  # of a batch


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """n paths to nodes of one layer: nodes int [n], attributes [attributes, n], rows of their arcs
    int [n, layers so far], and bounds [n]."""

    node: Indices
    sums: Floats
    rows: NDArray[np.int32]
    bound: Floats

    def take(self, kept: NDArray[np.generic] | slice) -> Labels:
        return Labels(self.node[kept], self.sums[:, kept], self.rows[kept], self.bound[kept])


class Steps:
    """The arcs of each layer in the order in which labels take them."""

    def __init__(self, graph: PathGraph, cuts: Sequence[Cut]) -> None:
        self.graph, self.cuts = graph, cuts
        self.rest = [graph.to_end(graph.values(cut.weights)) for cut in cuts]
        first = self.rest[0]
        self._sorted = []
        for number, layer in enumerate(graph.layers):
            value = weighted(cuts[0].weights, layer.sums) + first[number + 1][layer.head]
            loss = np.maximum(first[number][layer.tail] - value, 0)
            order = np.lexsort((loss, layer.tail))
            begin = np.searchsorted(layer.tail[order], np.arange(layer.starts + 1))
            self._sorted.append((order, loss[order], begin))

    def start(self) -> Labels:
        """The empty path."""
        bound = min(r[0][0] + cut.constant for r, cut in zip(self.rest, self.cuts, strict=True))
        sums = np.zeros((len(self.cuts[0].weights), 1))
        return Labels(np.zeros(1, np.intp), sums, np.zeros((1, 0), np.int32), np.array([bound]))

    def counts(self, number: int, labels: Labels, least: float) -> Indices:
        """How many arcs of a layer each label can take, [n]."""
        _, loss, begin = self._sorted[number]
        left = (
            weighted(self.cuts[0].weights, labels.sums)
            + self.rest[0][number][labels.node]
            + self.cuts[0].constant
            - least
        )
        low, high = begin[labels.node], begin[labels.node + 1]
        first = low.copy()
        while (open_ := low < high).any():  # all labels bisect at once
            middle = (low + high) // 2
            inside = open_ & (loss[np.minimum(middle, len(loss) - 1)] <= left)
            low = np.where(inside, middle + 1, low)
            high = np.where(open_ & ~inside, middle, high)
        return low - first

    def extend(self, number: int, labels: Labels, counts: Indices, least: float) -> Labels:
        """The labels with one more arc whose bound is at least `least`."""
        layer = self.graph.layers[number]
        order, _, begin = self._sorted[number]
        total, ends = int(counts.sum()), np.cumsum(counts)
        parent = np.repeat(np.arange(len(counts)), counts)
        arc = order[np.repeat(begin[labels.node] - ends + counts, counts) + np.arange(total)]
        sums = labels.sums[:, parent] + layer.sums[:, arc]
        node = layer.head[arc]
        bound = np.full(total, np.inf)
        for cut, rest in zip(self.cuts, self.rest, strict=True):
            own = weighted(cut.weights, sums) + rest[number + 1][node] + cut.constant
            np.minimum(bound, own, out=bound)
        kept = np.flatnonzero(bound >= least)
        rows = np.column_stack([labels.rows[parent[kept]], layer.rows[arc[kept]].astype(np.int32)])
        return Labels(node[kept], sums[:, kept], rows, bound[kept])


Finish = Callable[[Labels], float]
"""Takes whole paths; returns the least objective that is still of interest."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The best bound of the labels that are left, -inf if none is, and the number of labels."""

    bound: float
    labels: int


def walk(
    steps: Steps,
    least: float,
    finish: Finish,
    late: Callable[[], bool],
    most: float = np.inf,
) -> Walked:
    """Take every path whose bounds are at least `least`, and what `finish` says.

    Args:
        late: whether to stop.
        most: the number of labels after which to stop.
    """
    stack, made = [(0, steps.start())], 0
    while stack and made <= most and not late():
        number, labels = stack.pop()
        labels = labels.take(labels.bound >= least)
        if not len(labels.node):
            continue
        if number == len(steps.graph.layers):
            least = max(least, finish(labels))
            continue
        counts = steps.counts(number, labels, least)
        fit = max(1, int(np.searchsorted(np.cumsum(counts), MOST_CHILDREN)))
        if fit < len(counts):
            stack.append((number, labels.take(slice(fit, None))))
        found = steps.extend(number, labels.take(slice(0, fit)), counts[:fit], least)
        made += int(counts[:fit].sum())
        found = found.take(np.argsort(-found.bound))
        batches = [found.take(slice(at, at + BATCH)) for at in range(0, len(found.node), BATCH)]
        stack += [(number + 1, batch) for batch in reversed(batches)]
    left = [labels.bound.max() for _, labels in stack if len(labels.bound)]
    return Walked(float(max(left, default=-np.inf)), made)
