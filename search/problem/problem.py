"""What is searched: axes of a space, costs and score of its architectures, and constraints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluator.score.closed_form import STUDY_IDENTITY
from evaluator.score.genes import score_genes
from latency.engines.memory import VALUE_BYTES
from latency.table.header import TableHeader
from search.problem.budget import Budget
from search.problem.shape import IMAGENET, shape_of
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import NAMES, PAPER_LIMITS, Guidelines
from space.cost.lookup import CostModel, Costs
from space.cost.memory import network_peak
from space.network.block import Block, BlockBatch
from space.network.network import Network

Floats = NDArray[np.float64]
SMALLEST_LIMIT = 1e-12  # costs are divided by limits


class Table(Protocol):
    """A latency table of either layout: seconds of a batch of blocks, [n], and of a network."""

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
        """The score of genes int16 [n, parameters] with these costs, [n]."""
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
class Axis:
    """A number that the search chooses: 0 .. size - 1."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Axes:
    """What the search chooses. `genes` maps int [n, axes] to genes int16 [n, parameters]."""

    axes: tuple[Axis, ...]
    genes: Callable[[NDArray[np.integer]], Genes]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.array([axis.size for axis in self.axes])


def open_axes(space: ShuffleNetV2Space) -> Axes:
    """Every parameter of the space with more than one active choice."""
    columns = np.flatnonzero(space.active_sizes > 1)

    def genes(chosen: NDArray[np.integer]) -> Genes:
        rows = np.zeros((len(chosen), len(space.parameters)), dtype=np.int16)
        rows[:, columns] = chosen
        return rows

    parameters = [space.parameters[column] for column in columns]
    return Axes(
        tuple(Axis(parameter.name, parameter.active_choices) for parameter in parameters), genes
    )


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

    def take(self, rows: NDArray[np.integer]) -> Evaluation:
        """The evaluation of some rows, int [m]."""
        costs = Costs(*(getattr(self.costs, name)[rows] for name in Costs.__slots__))
        return Evaluation(self.genes[rows], costs, self.score[rows], self.violations[rows])


def concatenate(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation with the rows of several, in order."""
    columns = [[getattr(e.costs, name) for e in evaluations] for name in Costs.__slots__]
    return Evaluation(
        np.concatenate([e.genes for e in evaluations]),
        Costs(*map(np.concatenate, columns)),
        np.concatenate([e.score for e in evaluations]),
        np.concatenate([e.violations for e in evaluations]),
    )


def nondominated(score: Floats, latency: Floats) -> NDArray[np.intp]:
    """Rows that no other row beats in score (up) and latency (down), fastest first."""
    order = np.lexsort((-score, latency))
    best = np.maximum.accumulate(np.concatenate(([-np.inf], score[order][:-1])))
    return order[score[order] > best]


@dataclass(frozen=True)
class Problem:
    """What is searched: maximise the score, minimise the latency, under budgets and guidelines.

    Args:
        space: the networks.
        table: the latency of their blocks, in seconds.
        budgets: one for each limited cost.
        relax: guidelines ("g1" ... "g4") whose axes are open and whose limits do not bind.
        limits: of G1-G4; an infinite one does not bind.
        only: the axes to search, instead of every active parameter of the space.
        score: the closed form, or one from labels (`search.labels`).

    Raises:
        ValueError: `relax` names an unknown guideline, or a limit is next to 0.

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
        for name, limit in self.constraints:
            if not limit >= SMALLEST_LIMIT:
                raise ValueError(
                    f"the limit of {name} must be at least {SMALLEST_LIMIT:g}; got {limit:g}"
                )
        object.__setattr__(self, "space", self.space.relaxed(self.relax))
        object.__setattr__(self, "axes", self.only or open_axes(self.space))
        object.__setattr__(self, "model", CostModel(self.space, self.table.predict))

    @property
    def constraints(self) -> tuple[tuple[str, float], ...]:
        """(cost, limit) of every constraint."""
        limits = {n: float(getattr(self.limits, n)) for n in NAMES if n not in self.relax}
        budgets = [(budget.cost, budget.limit) for budget in self.budgets]
        return (*budgets, *(item for item in limits.items() if item[1] < np.inf))

    @property
    def limits_of_sums(self) -> dict[str, float]:
        """The budgets of costs that are sums over blocks, as limits of "flops", "params" and
        "latency_s"."""
        found: dict[str, float] = {}
        for budget in self.budgets:
            cost, limit = budget.cost, budget.limit
            if cost == "weight_bytes":
                cost, limit = "params", limit / self._value_bytes
            if cost != "peak_bytes":
                found[cost] = min(limit, found.get(cost, np.inf))
        return found

    @property
    def _value_bytes(self) -> int:
        """Bytes of a number in the dtype of the table."""
        return VALUE_BYTES.get(self.table.header.dtype, 4)

    def bytes_of(self, network: Network) -> dict[str, float]:
        """The "weight_bytes" and "peak_bytes" of a network (`search.problem.budget.Budget`)."""
        size = self._value_bytes
        peak = network_peak(network.blocks) * self.table.header.batch * size
        return {"weight_bytes": float(network.params * size), "peak_bytes": float(peak)}

    def _amounts(self, name: str, genes: Genes, costs: Costs) -> Floats:
        """What a constraint limits, [n]."""
        if name == "weight_bytes":
            return costs.params * self._value_bytes
        if name == "peak_bytes":
            return self.model.peaks(genes) * (self.table.header.batch * self._value_bytes)
        return np.asarray(getattr(costs, name))

    def text(self, genes: NDArray[np.integer]) -> str:
        """The architecture of genes int [parameters], on one line."""
        return self.space.text(self.space.architecture(genes))

    def network(self, genes: NDArray[np.integer]) -> Network:
        """The network of genes int [parameters]."""
        return self.space.lower(self.space.architecture(genes))

    def evaluate(self, genes: Genes) -> Evaluation:
        """Costs, score and constraints of genes int16 [n, parameters].

        Raises:
            ValueError: a gene is out of range, or a cost is not a number.
        """
        self.space.check(genes)
        return self.evaluate_unchecked(genes)

    def evaluate_unchecked(self, genes: Genes) -> Evaluation:
        """`evaluate` for genes that are known to be in range."""
        costs = self.model.costs(genes)
        rows = [self._amounts(name, genes, costs) / limit - 1 for name, limit in self.constraints]
        violations = np.stack(rows, axis=1)
        if np.isnan(violations).any() or np.isnan(costs.latency_s).any():
            raise ValueError("every cost must be a number; got NaN from the latency table")
        if not (costs.latency_s > 0).all():
            raise ValueError("every latency must be above 0; the latency table gives others")
        return Evaluation(genes, costs, self.score(self.space, genes, costs), violations)

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs of one study have in common, besides the seed and the sampler."""
        parameters = [
            [
                parameter.name,
                [str(choice) for choice in parameter.choices],
                parameter.active_choices,
            ]
            for parameter in self.space.parameters
        ]
        header, shape = self.table.header, shape_of(self.space)
        return {
            "space": self.space.name if shape == IMAGENET else f"{self.space.name} of {shape}",
            "slots": hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:12],
            "target": [header.target, header.source, header.csv_sha256 or header.date],
            "constraints": [list(item) for item in self.constraints],
            "score": self.score.identity,
        }


def target_table(target: str) -> Table:
    """The latency table of a target. `cpu` without a table of this host builds a coarse one first.

    Raises:
        ValueError: an unknown target, or a file that is no table.
    """
    from latency.table.load import load_table

    try:
        return load_table(target)
    except FileNotFoundError:
        if target != "cpu":
            raise
    from latency.builder.build import ensure_host_table

    ensure_host_table()
    # As the next run reads it: the file identifies the table of a study.
    return load_table(target)
