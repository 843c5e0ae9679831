"""Problems small enough that every network of theirs can be evaluated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from evaluator.estimate.model import AccuracyModel
from evaluator.estimate.networks import shipped_model
from latency.table.header import TableHeader
from latency.table.load import load_table
from search.problem.budget import Budget
from search.problem.estimate_score import EstimateScore
from search.problem.problem import Problem
from space.architectures.search_space import Choice, Genes
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.network.block import Block, BlockBatch

TINY: dict[str, Sequence[Choice]] = {
    "stem": (8, 24), "head": (256, 1024), "depth": (2, 3, 9), "kernel": (3, 5),
    "split": (Fraction(3, 8), Fraction(1, 2)),
    "width2": (24, 48, 116), "width3": (96, 232), "width4": (192, 464, 976),
}  # fmt: skip
PAPER: dict[str, Sequence[Choice]] = {
    "stem": (16, 24), "head": (1024, 2048), "depth": (2, 4, 8), "kernel": (3, 5),
    "split": (Fraction(3, 8), Fraction(1, 2)),
    "width2": (48, 116, 176, 244), "width3": (96, 232, 352, 488), "width4": (192, 464, 704, 976),
}  # fmt: skip
"""With the four networks of the paper, which the estimate needs."""


def small_space(choices: dict[str, Sequence[Choice]]) -> ShuffleNetV2Space:
    """The space with these choices of each parameter, or of its axis in every stage."""
    parameters = []
    for each in ShuffleNetV2Space().parameters:
        kept = choices.get(each.name) or choices.get(each.name.rstrip("234"))
        if not each.breaks:
            assert kept is not None
            each = replace(each, choices=tuple(kept), active_choices=len(kept))
        parameters.append(each)
    return ShuffleNetV2Space(parameters=tuple(parameters))


def every_network(space: ShuffleNetV2Space) -> Genes:
    """The genes of every network, int16 [n, parameters]."""
    sizes = [int(size) for size in space.active_sizes]
    grid = np.indices(sizes, dtype=np.int16).reshape(len(sizes), -1)
    return np.ascontiguousarray(grid.T)


class RandomTable:
    """Latencies without any order: a random one for every block."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    @property
    def header(self) -> TableHeader:
        return load_table("arm").header

    def predict(self, batch: BlockBatch) -> np.ndarray:
        return self._random.uniform(0.1, 1.0, len(batch))

    def network_s(self, blocks: Iterable[Block]) -> float:
        raise NotImplementedError


def tiny_problem(seed: int, flops: float, params: float) -> Problem:
    """15,552 networks with random latencies."""
    assert len(STAGES) == 3
    budgets = (Budget("flops", flops, "F"), Budget("params", params, "P"))
    return Problem(small_space(TINY), RandomTable(seed), budgets)


def estimate_problem(target: str, flops: float, optimism: float) -> Problem:
    """442,368 networks, their score an estimate against ShuffleNet v2 1x."""
    space = small_space(PAPER)
    shipped = shipped_model("torchvision")
    model = AccuracyModel(space, shipped.curve, shipped.effects)
    base = np.array([space.point((116, 232, 464)).genes], dtype=np.int16)
    score = EstimateScore(model, "torchvision", optimism, base)
    return Problem(space, load_table(target), (Budget("flops", flops, "F"),), score=score)


def rows_of(counts: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """Every path of layers with these numbers of arcs."""
    return itertools.product(*(range(count) for count in counts))
