"""What is searched: a space, the costs of its architectures, their score, and the constraints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluator.score.closed_form import STUDY_IDENTITY
from evaluator.score.genes import score_genes
from latency.table.header import TableHeader
from search.problem.axes import Axes, open_axes
from search.problem.budget import Budget
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import NAMES, PAPER_LIMITS, Guidelines
from space.cost.lookup import CostModel, Costs
from space.network.block import Block, BlockBatch

Floats = NDArray[np.float64]


class Table(Protocol):
    """A latency table of either layout: seconds of blocks and of networks."""

    @property
    def header(self) -> TableHeader: ...

    def predict(self, batch: BlockBatch) -> Floats: ...

    def network_s(self, blocks: Iterable[Block]) -> float: ...


class Score(Protocol):
    """Ranks architectures; the search maximises it. `identity` is part of a study's identity;
    `label` and `line` explain its numbers in a picture and under a table."""

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
    """The score that needs no training: a sum of small tables (`evaluator.score.genes`)."""

    identity: str = STUDY_IDENTITY
    label: str = "score (training-free, not an accuracy)"
    line: str = "score: training-free closed form, higher is better; not an accuracy"

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        return score_genes(space, genes)


CLOSED_FORM = ClosedFormScore()


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
    """What is searched: maximise the score, minimise the latency, under budgets and guidelines.

    Args:
        space: the networks. `table`: the latency of their blocks, in seconds.
        budgets: one for each limited cost.
        relax: guidelines ("g1" ... "g4") whose axes are open and whose limits do not bind.
        limits: of G1-G4; an infinite one does not bind.
        only: the axes to search in place of every open slot of the space.
        score: the closed form, or one from labels (`search.labels`).

    Raises:
        ValueError: `relax` names an unknown guideline.

    Example:
        >>> import numpy as np
        >>> from latency import load_table
        >>> from search import Problem, parse_budgets
        >>> from space import ShuffleNetV2Space
        >>> space = ShuffleNetV2Space()
        >>> problem = Problem(space, load_table("arm"), parse_budgets(["146M"]))
        >>> found = problem.evaluate(space.sample(5, np.random.default_rng(0)))
        >>> found.score.shape, found.violations.shape  # a budget and four guidelines
        ((5,), (5, 5))
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
