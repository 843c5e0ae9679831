"""Tables that cannot price networks are refused before the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from latency.table.header import TableHeader
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.problem.budget import parse_budgets
from search.problem.latencies import check_latencies
from search.problem.problem import Problem
from search.problem.shape import NetworkShape
from space.cost.guidelines import Guidelines
from space.network.block import Block, BlockBatch

BUDGET = parse_budgets(["146M"])


@dataclass(frozen=True)
class Scaled:
    """The latencies of a table times a factor."""

    table: OpCostModel
    factor: float

    @property
    def header(self) -> TableHeader:
        return self.table.header

    def predict(self, batch: BlockBatch) -> NDArray[np.float64]:
        return self.table.predict(batch) * self.factor

    def network_s(self, blocks: Iterable[Block]) -> float:
        return self.table.network_s(blocks) * self.factor


def priced(arm: OpCostModel, factor: float) -> Problem:
    return Problem(NetworkShape().space, Scaled(arm, factor), BUDGET)


def test_the_shipped_model_is_right(arm: OpCostModel) -> None:
    check_latencies(priced(arm, 1.0))


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e-300, 1e-9, 1e9, 1e300, 1e308, float("nan")])
def test_implausible_latencies(arm: OpCostModel, factor: float) -> None:
    """No division, no warning: each would be an error here."""
    told = r"must be from 1e-09 to 1e\+06 seconds; the table 'arm' has .*: build it again"
    with pytest.raises(ValueError, match=told):
        check_latencies(priced(arm, factor))


@pytest.mark.slow
def test_a_measured_table_of_other_networks() -> None:
    problem = Problem(NetworkShape(160, 128).space, load_table("rpi4"), BUDGET)
    told = r"'rpi4' must have the blocks of networks of 160x128, .*latency\.build --input 160x128"
    with pytest.raises(ValueError, match=told):
        check_latencies(problem)


def test_free_networks_are_not_compared(arm: OpCostModel) -> None:
    problem = priced(arm, 0.0)
    with pytest.raises(ValueError, match="every latency must be above 0"):
        problem.evaluate(problem.space.sample(2, np.random.default_rng(0)))


def test_a_limit_of_nothing(arm: OpCostModel) -> None:
    limits = Guidelines(1.05, 1.05, 5, 0.0)
    with pytest.raises(ValueError, match="the limit of g4 must be at least 1e-12; got 0"):
        Problem(NetworkShape().space, arm, BUDGET, limits=limits)
