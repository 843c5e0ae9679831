"""The estimate of ImageNet top-1 as a score: the estimate less what is uncertain about it.

A network's deviation score A is a sum over the parameters, and ShuffleNet v2's curve makes it a
top-1 (`evaluator.estimate.model`). The variance V of A - A of the baseline is a quadratic form of
the difference of their features, |factors' d|^2 + sum of diagonal * d^2. The score is the curve at
A - caution * sqrt(V): for the baseline V is 0, so it keeps its estimate, and what no source
measures must be worth more than it is uncertain.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from scipy.optimize import brentq

from evaluator.estimate.axes import FACTORS, feature_tables, features, paper_genes
from evaluator.estimate.model import LEVEL, AccuracyEstimates, AccuracyModel
from evaluator.estimate.networks import shipped_model
from search.problem.baseline import baseline
from search.problem.problem import Floats, Problem
from search.problem.shape import IMAGENET, shape_of
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import CostModel, Costs

NAME = "ImageNet top-1 estimate"
WORTH, DIAGONAL, COMMON = 0, 1, slice(2, 2 + len(FACTORS))
"""Columns of a term's table: A, the part of V that is a sum, and the factors whose sums are
squared in V."""


@dataclass(frozen=True, slots=True, eq=False)
class EstimateTerm:
    """What the choices of one parameter add, [choices, 2 + FACTORS]; see `WORTH`."""

    column: int
    table: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EstimateScore:
    """The cautious estimate of top-1 in %, by one recipe.

    Args:
        model: the estimate.
        recipe: its name.
        optimism: standard deviations that are added to the cautious estimate, which is one below
            the mean: 0 is cautious, 1 the mean, -1 two below it.
        base: genes of the baseline, [1, parameters].
    """

    model: AccuracyModel
    recipe: str
    optimism: float
    base: Genes
    terms: tuple[EstimateTerm, ...] = field(init=False)
    _knots: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _terms(self.model, self.base))
        paper = paper_genes(self.model.space)
        flops = CostModel(self.model.space).costs(paper).flops
        object.__setattr__(self, "_knots", (self.model.score(paper), np.log(flops)))

    @property
    def caution(self) -> float:
        """Standard deviations that are taken off."""
        return 1 - self.optimism

    @property
    def identity(self) -> str:
        model, curve = self.model, self.model.curve
        numbers = [curve.coefficients.tolist(), curve.lowest, curve.highest, asdict(model.effects)]
        digest = hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:12]
        space = model.space
        base = space.text(space.architecture(self.base[0]))
        return (
            f"{NAME}(recipe={self.recipe}, optimism={self.optimism:.12g}, "
            f"coefficients={digest}, baseline={base})"
        )

    @property
    def label(self) -> str:
        if not self.caution:
            return "score: estimated ImageNet top-1 in %"
        return f"score: estimated ImageNet top-1 in % {self._word} {self.deviations}"

    @property
    def line(self) -> str:
        taken = ", nothing taken off for what is uncertain"
        if self.caution:
            taken = f" {self._word} {self.deviations} of the difference to the baseline"
        return (
            f"score: estimated ImageNet top-1{taken} (--optimism {self.optimism:.12g}); winners "
            "are chosen by it"
        )

    @property
    def deviations(self) -> str:
        """How many are taken off or added: "1 standard deviation"."""
        many = abs(self.caution)
        return f"{many:.12g} standard deviation{'' if many == 1 else 's'}"

    @property
    def _word(self) -> str:
        return "less" if self.caution > 0 else "plus"

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        total = np.zeros((len(genes), COMMON.stop))
        for term in self.terms:
            total += term.table[genes[:, term.column]]
        variance = total[:, DIAGONAL] + np.square(total[:, COMMON]).sum(axis=1)
        return self.top1(total[:, WORTH] - self.caution * np.sqrt(variance))

    def top1(self, worth: Floats) -> Floats:
        """Top-1 in % at deviation scores A, [n]; it grows with A."""
        scores, logs = self._knots
        left = np.clip(np.searchsorted(scores, worth) - 1, 0, len(scores) - 2)
        slope = (logs[left + 1] - logs[left]) / (scores[left + 1] - scores[left])
        return self.model.curve.top1(logs[left] + slope * (worth - scores[left]))

    def worth(self, top1: float) -> float:
        """The A of a top-1 in %."""
        step = 1.0
        while not self._above(-step, top1) < 0 < self._above(step, top1):
            step *= 2
        return float(brentq(self._above, -step, step, args=(top1,), xtol=1e-13))

    def _above(self, worth: float, top1: float) -> float:
        return float(self.top1(np.array([worth]))[0]) - top1

    def estimates(self, genes: Genes) -> AccuracyEstimates:
        """Top-1 of genes [n, parameters], and the difference to the baseline, with intervals."""
        return self.model.estimate(genes, baseline=self.base, level=LEVEL)


def _terms(model: AccuracyModel, base: Genes) -> tuple[EstimateTerm, ...]:
    start, axes = features(model.space, base)[0], model.axes
    found: dict[int, Floats] = {}
    for index, (column, values) in enumerate(feature_tables(model.space)):
        apart = values - start[index]
        table = np.column_stack(
            [
                axes.coefficients[index] * values,
                axes.diagonal[index] * np.square(apart),
                np.outer(apart, axes.factors[index]),
            ]
        )
        found[column] = found[column] + table if column in found else table
    return tuple(EstimateTerm(column, table) for column, table in found.items())


def why_no_estimate(problem: Problem) -> str:
    """Why networks of a problem have no estimate; "" if they have."""
    if (shape := shape_of(problem.space)) != IMAGENET:
        return f"the estimate is of ImageNet, {IMAGENET}; these networks are of {shape}"
    if problem.relax:
        names = " and ".join(name.upper() for name in problem.relax)
        return f"the estimate knows nothing of axes that break {names}"
    return ""


def with_estimate(problem: Problem, *, recipe: str, optimism: float) -> Problem:
    """The problem whose score is the estimate. Its baseline is the widest ShuffleNet v2 within the
    budgets, or if none is, the narrowest of the paper.

    Raises:
        ValueError: its networks have no estimate (`why_no_estimate`), or no recipe has this name.

    Example:
        >>> from latency import load_table
        >>> from search import Problem, baseline, parse_budgets
        >>> from search.problem.estimate_score import with_estimate
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
        >>> problem = with_estimate(problem, recipe="torchvision", optimism=0)
        >>> f"{baseline(problem).score:.1f}"
        '69.3'
    """
    if why := why_no_estimate(problem):
        raise ValueError(why)
    base, model = baseline(problem), shipped_model(recipe)
    genes = paper_genes(model.space)[:1] if base is None else base.found.genes
    return replace(problem, score=EstimateScore(model, recipe, optimism, genes))
