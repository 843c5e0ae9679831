from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.problem.budget import parse_budgets
from search.problem.problem import Problem, concatenate, nondominated
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import PAPER_LIMITS, Guidelines
from space.cost.memory import peak_elements
from space.network.block import BlockBatch


def _genes(problem: Problem, n: int, seed: int = 0) -> np.ndarray:
    return problem.space.sample(n, np.random.default_rng(seed))


def test_evaluation_equals_a_walk_over_blocks(space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    problem = Problem(space, arm, parse_budgets(["30ms", "146M", "2Mparams"]))
    found = problem.evaluate(_genes(problem, 20))
    names = ["latency_s", "flops", "params", "g1", "g2", "g3", "g4"]
    assert [name for name, _ in problem.constraints] == names
    for index, row in enumerate(found.genes):
        network = space.lower(space.architecture(row))
        numbers = Guidelines.of(network.blocks)
        latency_s = arm.network_s(network.blocks)
        ratios = [latency_s / 0.03, network.flops / 146e6, network.params / 2e6]
        ratios += [getattr(numbers, n) / getattr(PAPER_LIMITS, n) for n in names[3:]]
        assert found.violations[index] == pytest.approx(np.array(ratios) - 1, abs=1e-12)
        assert found.feasible[index] == all(ratio <= 1 for ratio in ratios)


def test_a_limit_itself_is_feasible(space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    genes = np.array([space.point((116, 232, 464)).genes], dtype=np.int16)
    for budget, met in (("144907992", True), ("144907991", False)):
        text = f"{float(budget) / 1e3:.3f}K"
        found = Problem(space, arm, parse_budgets([text])).evaluate(genes)
        assert found.violations[0, 0] == pytest.approx(0, abs=1e-8)
        assert bool(found.feasible[0]) is met


def test_relaxing_opens_axes_and_drops_the_limit(
    space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    closed = Problem(space, arm, parse_budgets(["146M"]))
    assert len(closed.axes.axes) == 14
    for name, axes in (
        ("g1", {"bottleneck"}), ("g2", {"groups"}), ("g3", {"fragments"}),
        ("g4", {"residual", "extra_relu"}),
    ):  # fmt: skip
        problem = Problem(space, arm, parse_budgets(["146M"]), (name,))
        names = {axis.name for axis in problem.axes.axes}
        assert names - {axis.name for axis in closed.axes.axes} == axes
        limited = {"flops", "g1", "g2", "g3", "g4"} - {name}
        assert {n for n, _ in problem.constraints} == limited
        assert problem.identity != closed.identity


def test_axes_index_open_choices(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    choices = rng.integers(0, problem.axes.sizes, size=(50, len(problem.axes.axes)))
    genes = problem.axes.genes(choices)
    problem.space.check(genes)
    assert (genes[:, :14] == choices).all()
    assert (genes[:, 14:] == 0).all()


def test_genes_are_checked(problem: Problem) -> None:
    genes = _genes(problem, 1)
    genes[0, 0] = 99
    with pytest.raises(ValueError, match="gene of `stem` must be in"):
        problem.evaluate(genes)


class BrokenTable:
    def __init__(self, table: OpCostModel) -> None:
        self.header, self.network_s = table.header, table.network_s

    def predict(self, batch: BlockBatch) -> np.ndarray:
        return np.full(len(batch), np.nan)


@pytest.mark.parametrize("dtype, size", [("float32", 4), ("tf32", 4), ("float16", 2), ("int8", 1)])
def test_bytes_are_those_of_the_table(space: ShuffleNetV2Space, dtype: str, size: int) -> None:
    """Weights and activations of each network, in the table's dtype and batch, block by block."""
    gpu = load_table("gpu")
    assert isinstance(gpu, OpCostModel) and gpu.header.batch == 8
    table = dataclasses.replace(gpu, header=dataclasses.replace(gpu.header, dtype=dtype))
    budgets = parse_budgets(["146M", "6MB", "5MBpeak"])
    problem = Problem(space, table, budgets, relax=("g2", "g3"))
    genes = problem.space.sample(20, np.random.default_rng(0))
    found = problem.evaluate(genes).violations
    for row, violations in zip(genes, found, strict=True):
        network = problem.network(row)
        params = sum(op.params for block in network.blocks for op in block.ops)
        peak = max(int(peak_elements(block.steps)) for block in network.blocks)
        assert violations[1] == pytest.approx(size * params / 6e6 - 1)
        assert violations[2] == pytest.approx(8 * size * peak / 5e6 - 1)
        assert problem.bytes_of(network) == {
            "weight_bytes": size * params, "peak_bytes": 8 * size * peak,
        }  # fmt: skip
    assert problem.limits_of_sums == {"flops": 146e6, "params": 6e6 / size}


def test_the_smaller_of_two_limits_of_parameters(
    space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    for text in ("3Mparams", "2Mparams"):
        problem = Problem(space, arm, parse_budgets([text, "10MB"]))
        expected = min(problem.budgets[0].limit, 2.5e6)
        assert problem.limits_of_sums == {"params": expected}


def test_nan_from_a_table_is_refused(space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    problem = Problem(space, BrokenTable(arm), parse_budgets(["30ms"]))
    with pytest.raises(ValueError, match="every cost must be a number; got NaN"):
        problem.evaluate(_genes(problem, 1))


def test_identity_tells_studies_apart(
    problem: Problem, space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    assert Problem(space, arm, parse_budgets(["146M"])).identity == problem.identity
    header = dataclasses.replace(arm.header, csv_sha256="0" * 64)
    others = [
        Problem(space, arm, parse_budgets(["147M"])),
        Problem(space, arm, parse_budgets(["146M", "30ms"])),
        Problem(space, arm, parse_budgets(["146M"]), limits=Guidelines(1.1, 1.05, 5, 0.48)),
        Problem(space, dataclasses.replace(arm, header=header), parse_budgets(["146M"])),
    ]
    assert all(other.identity != problem.identity for other in others)


def test_nondominated_equals_every_pair() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 60):
        for levels in (3, 8, 1000):  # few levels: many ties
            score = rng.integers(0, levels, n).astype(float)
            latency = rng.integers(1, levels + 1, n).astype(float)
            beaten = [
                any(
                    score[j] >= score[i] and latency[j] <= latency[i]
                    and (score[j] > score[i] or latency[j] < latency[i])
                    for j in range(n)
                )
                for i in range(n)
            ]  # fmt: skip
            rows = nondominated(score, latency)
            front = {(score[i], latency[i]) for i in range(n) if not beaten[i]}
            assert {(score[i], latency[i]) for i in rows} == front
            assert len(rows) == len(front)  # equal rows once
            assert (np.diff(latency[rows]) > 0).all()


def test_nondominated_of_nothing() -> None:
    assert len(nondominated(np.zeros(0), np.zeros(0))) == 0


def test_stack_keeps_order(problem: Problem) -> None:
    genes = _genes(problem, 5)
    whole = problem.evaluate(genes)
    joined = concatenate([problem.evaluate(genes[:2]), problem.evaluate(genes[2:])])
    assert joined.genes.tobytes() == genes.tobytes()
    assert joined.costs.latency_s.tobytes() == whole.costs.latency_s.tobytes()
    assert joined.violations.tobytes() == whole.violations.tobytes()
    assert joined.score.tobytes() == whole.score.tobytes()


def test_limits_of_a_device_take_the_papers_place(
    problem: Problem, space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    limits = Guidelines(g1=1.02, g2=float("inf"), g3=5, g4=0.37)
    found = Problem(space, arm, problem.budgets, limits=limits)
    assert dict(found.constraints) == {"flops": 146e6, "g1": 1.02, "g3": 5.0, "g4": 0.37}
    genes = space.sample(300, np.random.default_rng(2))
    got = found.evaluate(genes)
    assert (got.costs.g4[got.feasible] <= 0.37).all()
    assert got.feasible.sum() < problem.evaluate(genes).feasible.sum()
