"""What is searched: a space, the costs of its architectures, their score, and the constraints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluator.closed_form import ClosedForm
from evaluator.genes import score_genes
from latency.header import Header
from search.budget import Budget
from space.block import Block, BlockBatch
from space.costs import CostModel, Costs
from space.guidelines import NAMES, PAPER_LIMITS, Guidelines
from space.shufflenet_v2 import ShuffleNetV2Space
from space.slots import Genes

Floats = NDArray[np.float64]


class Table(Protocol):
    """A latency table of either layout."""

    @property
    def header(self) -> Header: ...

    def predict(self, batch: BlockBatch) -> Floats: ...

    def network_s(self, blocks: Iterable[Block]) -> float: ...


class Score(Protocol):
    """Ranks architectures: the search drives it up. `identity` tells two scores apart; `label` and
    `line` say to people what its numbers are, in a picture and under a table."""

    @property
    def identity(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def line(self) -> str: ...

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        """The score of genes int16 [n, slots] with these costs, [n]."""
        ...


@dataclass(frozen=True, slots=True)
class ClosedFormScore:
    """The score that needs no training: a sum of small tables (`evaluator.genes`)."""

    identity: str = repr(ClosedForm())
    label: str = "score (training-free, not an accuracy)"
    line: str = "score: training-free closed form, higher is better; not an accuracy"

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        return score_genes(space, genes)


CLOSED_FORM = ClosedFormScore()


@dataclass(frozen=True, slots=True)
class Axis:
    """A number the search chooses: 0 .. size - 1."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Axes:
    """What the search turns. `genes` maps choices int [n, axes] to genes int16 [n, slots]."""

    axes: tuple[Axis, ...]
    genes: Callable[[NDArray[np.integer]], Genes]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.array([axis.size for axis in self.axes])


def open_axes(
    space: ShuffleNetV2Space, allowed: Mapping[str, Sequence[int]] | None = None
) -> Axes:
    """Every slot of the space with more than one choice: of the open ones, or of those genes that
    `allowed` names for a slot."""
    choices = [
        np.array((allowed or {}).get(slot.name, range(slot.open_choices)), dtype=np.int16)
        for slot in space.slots
    ]
    columns = [column for column, each in enumerate(choices) if len(each) > 1]
    first = np.array([each[0] for each in choices], dtype=np.int16)

    def genes(chosen: NDArray[np.integer]) -> Genes:
        rows = np.tile(first, (len(chosen), 1))
        for place, column in enumerate(columns):
            rows[:, column] = choices[column][chosen[:, place]]
        return rows

    axes = (Axis(space.slots[column].name, len(choices[column])) for column in columns)
    return Axes(tuple(axes), genes)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """n evaluated architectures. `violations` float64 [n, constraints]: value / limit - 1,
    feasible when <= 0; relative, so that a sampler may add them up."""

    genes: Genes
    costs: Costs
    score: Floats
    violations: Floats

    @property
    def feasible(self) -> NDArray[np.bool_]:
        return np.asarray((self.violations <= 0).all(axis=1))

    def __len__(self) -> int:
        return len(self.genes)


@dataclass(frozen=True)
class Problem:
    """Score up, latency down, under budgets and guidelines.

    `relax` names guidelines whose axes are open and whose limits do not bind; nor does an infinite
    limit. `only` are the axes to search instead of every open slot of the space. `score` is the
    closed form unless labels gave a better one (`search.labels`).
    """

    space: ShuffleNetV2Space
    table: Table
    budgets: tuple[Budget, ...]
    relax: tuple[str, ...] = ()
    limits: Guidelines = PAPER_LIMITS
    axes: Axes = field(init=False)
    model: CostModel = field(init=False)
    only: Axes | None = None
    score: Score = CLOSED_FORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", self.space.relaxed(self.relax))
        object.__setattr__(self, "axes", self.only or open_axes(self.space))
        object.__setattr__(self, "model", CostModel(self.space, self.table.predict))

    @property
    def constraints(self) -> tuple[tuple[str, float], ...]:
        """(cost, limit) of every constraint."""
        kept = [(name, float(getattr(self.limits, name))) for name in NAMES]
        budgets = [(budget.cost, budget.limit) for budget in self.budgets]
        bind = (item for item in kept if item[0] not in self.relax and item[1] < np.inf)
        return (*budgets, *bind)

    def evaluate(self, genes: Genes) -> Evaluation:
        """Costs, score and constraints of genes int16 [n, slots].

        Raises:
            ValueError: a gene is out of range, or a cost is not a number.
        """
        self.space.check(genes)
        return self.evaluate_unchecked(genes)

    def evaluate_unchecked(self, genes: Genes) -> Evaluation:
        """`evaluate` for genes that are known to be in range."""
        costs = self.model.costs(genes)
        rows = [getattr(costs, name) / limit - 1 for name, limit in self.constraints]
        violations = np.stack(rows, axis=1)
        if np.isnan(violations).any():
            raise ValueError("every cost must be a number; got NaN from the latency table")
        return Evaluation(genes, costs, self.score(self.space, genes, costs), violations)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two studies one and the same, but for the seed and the sampler."""
        slots = [
            [slot.name, [str(choice) for choice in slot.choices], slot.open_choices]
            for slot in self.space.slots
        ]
        header = self.table.header
        table = [header.target, header.source, header.csv_sha256 or header.date]
        return {
            "space": self.space.name,
            "slots": hashlib.sha256(json.dumps(slots).encode()).hexdigest()[:12],
            "target": table,
            "constraints": [list(item) for item in self.constraints],
            "score": self.score.identity,
        }


def nondominated(score: Floats, latency: Floats) -> NDArray[np.intp]:
    """Rows that no other row beats in score (up) and latency (down), fastest first."""
    order = np.lexsort((-score, latency))
    best = np.maximum.accumulate(np.concatenate(([-np.inf], score[order][:-1])))
    return order[score[order] > best]


def stack(evaluations: Sequence[Evaluation]) -> Evaluation:
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
