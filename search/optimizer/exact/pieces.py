"""The networks of a problem as a graph: its score and every constraint as sums of pieces.

A layer is a table of `space.cost.lookup`: an arc is a row of it, and the nodes between two layers
are the choices that both need. A ratio at most `limit`, G1, G2 or G4, is one sum at most 0: the
numerator less `limit` times the denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluator.score.genes import terms
from search.optimizer.exact.graph import ArcLayer, Floats, PathGraph
from search.problem.estimate_score import EstimateScore
from search.problem.problem import CLOSED_FORM, Problem
from space.architectures.search_space import Genes
from space.common.errors import InfeasibleError
from space.cost.lookup import COLUMNS, Lookup

LATENCY = "latency_s"
COARSE = 20
_PLAIN = ("flops", "params", LATENCY)
_RATIOS = {
    "g1": ("pointwise", "pointwise_bound"),
    "g2": ("pointwise", "pointwise_ungrouped"),
    "g4": ("elementwise", "traffic"),
}
_Terms = dict[tuple[int, ...], Floats]


@dataclass(frozen=True, eq=False)
class Pieces:
    """The graph of a problem, and what its attributes are.

    Attributes of an arc, in order: the score, or of a cautious estimate A, D and the factors f,
    whose score is A - caution * sqrt(D + |f|^2); then the costs.

    Args:
        scored: the number of attributes before the costs.
        caution: standard deviations that the score takes off; 0: it is the first attribute.
        scales: by cost, what its attribute is divided by.
        limits: by cost, the most its attribute may be.
    """

    problem: Problem
    graph: PathGraph
    lookups: tuple[Lookup, ...]
    scored: int
    caution: float
    scales: dict[str, float]
    limits: dict[str, float]

    @property
    def attributes(self) -> int:
        """The number of attributes."""
        return self.scored + len(self.scales)

    @cached_property
    def coarse(self) -> PathGraph:
        """The graph with at most `COARSE` choices of each parameter, evenly spread."""
        layers = []
        for layer, lookup in zip(self.graph.layers, self.lookups, strict=True):
            kept = np.ones(len(layer.rows), dtype=bool)
            chosen = np.unravel_index(layer.rows, lookup.sizes)
            for choice, size in zip(chosen, lookup.sizes, strict=True):
                kept &= choice % -(-size // COARSE) == 0
            layers.append(layer.take(kept))
        return PathGraph(tuple(layers))

    @property
    def spread(self) -> float:
        """The most that sqrt(D + |f|^2) is."""
        most = sum(np.abs(layer.sums[: self.scored]).max(axis=1) for layer in self.graph.layers)
        return float(np.sqrt(most[1] + np.square(most[2:]).sum()))

    @property
    def worths(self) -> tuple[float, float]:
        """Scores that no network is below or above, in the units of the graph."""
        first = np.eye(self.attributes)[0]
        off = self.caution * self.spread if self.caution else 0.0
        return -self.graph.highest(-first) - off, self.graph.highest(first)

    def column(self, cost: str) -> int:
        """The attribute of a cost."""
        return self.scored + list(self.scales).index(cost)

    def worth(self, sums: Floats) -> Floats:
        """The score of attributes [attributes, n], in the units of the graph."""
        if not self.caution:
            return sums[0]
        variance = sums[1] + np.square(sums[2 : self.scored]).sum(axis=0)
        return np.asarray(sums[0] - self.caution * np.sqrt(np.maximum(variance, 0)))

    def to_worth(self, score: float) -> float:
        """A score of the problem in the units of the graph."""
        own = self.problem.score
        return own.worth(score) if isinstance(own, EstimateScore) else score

    def to_score(self, worth: float) -> float:
        """A score in the units of the graph as the problem has it."""
        own = self.problem.score
        return float(own.top1(np.array([worth]))[0]) if isinstance(own, EstimateScore) else worth

    def genes(self, rows: NDArray[np.integer]) -> Genes:
        """The genes of paths, int16 [n, parameters], from their rows [n, layers]."""
        found = np.zeros((len(rows), len(self.problem.space.parameters)), dtype=np.int16)
        for lookup, row in zip(self.lookups, rows.T, strict=True):
            found[:, lookup.columns] = np.stack(np.unravel_index(row, lookup.sizes), axis=1)
        return found


def pieces_of(problem: Problem) -> Pieces:
    """The pieces of a problem.

    Raises:
        ValueError: an axis that breaks a guideline is open, the search has axes of its own, or the
            score is no sum: one from labels, or an estimate of optimism above 1.
        InfeasibleError: every network breaks a limit on units.
    """
    variant, *others = problem.space.variants()
    if others or problem.only is not None:
        raise ValueError(
            "the exact optimum needs all axes of the space but those that break a guideline; "
            f"got {'some of these open' if others else 'other axes'}"
        )
    caution, parts = _score_terms(problem)
    lookups, fragments = problem.model.tables(variant)
    limits = dict(problem.constraints)
    if fragments > limits.get("g3", np.inf):
        raise InfeasibleError(
            f"every network has a unit of {fragments} operators; G3 allows {limits['g3']:g}"
        )
    costs, scales, bounds = _costs(lookups, limits)
    scores = _scores(lookups, parts)
    sums = [np.concatenate(pair) for pair in zip(scores, costs, strict=True)]
    graph = _graph(lookups, sums)
    scored = len(scores[0])
    for number, cost in enumerate(scales):
        # A limit that no network reaches needs no price.
        most = graph.highest(np.eye(len(sums[0]))[scored + number])
        if cost in bounds and most <= bounds[cost] - 1e-9 * abs(bounds[cost]) - 1e-12:
            del bounds[cost]
    return Pieces(problem, graph, tuple(lookups), scored, caution, scales, bounds)


def _score_terms(problem: Problem) -> tuple[float, _Terms]:
    """The caution, and what the choices of some columns add to the score, [..., attributes]."""
    score = problem.score
    if isinstance(score, EstimateScore) and score.caution >= 0:
        kept = slice(None) if score.caution else slice(0, 1)
        return score.caution, {(term.column,): term.table[:, kept] for term in score.terms}
    if score == CLOSED_FORM:
        return 0.0, {term.columns: term.table[..., None] for term in terms(problem.space)}
    raise ValueError(
        "the exact optimum needs a score that is a sum over the parameters, the closed form or "
        f"the estimate with an optimism of at most 1; got {score.identity}"
    )


def _scores(lookups: Sequence[Lookup], parts: _Terms) -> list[Floats]:
    """What each row of each table adds to the score, [attributes, rows]: a term is in the first
    table that has its columns."""
    attributes = next(iter(parts.values())).shape[-1]
    found = [np.zeros((attributes, *lookup.sizes)) for lookup in lookups]
    for columns, table in parts.items():
        first = next((i for i, each in enumerate(lookups) if {*columns} <= {*each.columns}), None)
        if first is None:  # columns of closed axes, with their first choice in every network
            found[0] += table[(0,) * len(columns)].reshape(-1, *[1] * (found[0].ndim - 1))
            continue
        own = lookups[first].columns
        order = np.argsort([own.index(column) for column in columns])
        ordered = np.moveaxis(table, -1, 0).transpose(0, *(order + 1))
        sizes = iter(ordered.shape[1:])
        shape = [next(sizes) if column in columns else 1 for column in own]
        found[first] += ordered.reshape(attributes, *shape)
    return [table.reshape(attributes, -1) for table in found]


def _costs(
    lookups: Sequence[Lookup], limits: dict[str, float]
) -> tuple[list[Floats], dict[str, float], dict[str, float]]:
    """The costs of each table, [costs, rows], over scales that make them about 1; the scales; and
    the limits of the costs."""
    named = [dict(zip(COLUMNS, lookup.table.T, strict=False)) for lookup in lookups]
    found: list[list[Floats]] = [[] for _ in lookups]
    scales, bounds = {}, {}
    for cost in dict.fromkeys((LATENCY, *limits)):
        if cost in _PLAIN:
            columns, limit = [own[cost] for own in named], limits.get(cost)
            scale = _typical(columns)
        elif cost in _RATIOS:
            above, below = _RATIOS[cost]
            scale, limit = _typical([own[below] for own in named]), 0.0
            columns = [own[above] - limits[cost] * own[below] for own in named]
        else:
            continue
        scales[cost] = scale
        if limit is not None:
            bounds[cost] = limit / scale
        for own, column in zip(found, columns, strict=True):
            own.append(column / scale)
    return [np.stack(own) for own in found], scales, bounds


def _typical(columns: Sequence[Floats]) -> float:
    """Between the least and the largest sum of a network."""
    least, most = (sum(float(pick(c)) for c in columns) for pick in (np.min, np.max))
    return float(np.sqrt(max(least, 1e-6 * most) * most)) or 1.0


def _graph(lookups: Sequence[Lookup], sums: Sequence[Floats]) -> PathGraph:
    """A layer of each table: nodes are the choices that it shares with the tables before and
    after."""
    layers: list[ArcLayer] = []
    before: tuple[int, ...] = ()
    for number, (lookup, own) in enumerate(zip(lookups, sums, strict=True)):
        later = {column for each in lookups[number + 1 :] for column in each.columns}
        after = tuple(column for column in lookup.columns if column in later)
        assert {*before} <= {*lookup.columns}, "a table needs the choices of the one before alone"
        size = dict(zip(lookup.columns, lookup.sizes, strict=True))
        grid = np.indices(lookup.sizes).reshape(len(lookup.sizes), -1)
        ends = []
        for columns in (before, after):
            node, count = np.zeros(grid.shape[1], dtype=np.intp), 1
            for column in columns:
                node = node * size[column] + grid[lookup.columns.index(column)]
                count *= size[column]
            ends.append((node, count))
        (tail, starts), (head, stops) = ends
        layers.append(ArcLayer.of(tail, head, own, starts, stops))
        before = after
    return PathGraph(tuple(layers))
