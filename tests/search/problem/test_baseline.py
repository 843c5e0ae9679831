from __future__ import annotations

import numpy as np
import pytest

from latency.table.op_model import OpCostModel
from search.problem.baseline import baseline, head_of, paper_axes
from search.problem.budget import parse_budgets
from search.problem.problem import Problem
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.zoo.families import SHUFFLENET_V2, shufflenet_v2

PAPER = {"41M": "0.5x", "146M": "1x", "299M": "1.5x", "591M": "2x"}


def _widest(space: ShuffleNetV2Space, arm: OpCostModel, limits: dict[str, float]) -> int | None:
    """The widest that meets the limits, one network at a time, widest first."""
    for width in range(256, 20, -4):
        point = space.point((width, 2 * width, 4 * width), head=2048 if width >= 212 else 1024)
        network = space.lower(point)
        costs = {
            "flops": network.flops,
            "params": network.params,
            "latency_s": arm.network_s(network.blocks),
        }
        if all(costs[name] <= limit for name, limit in limits.items()):
            return width
    return None


@pytest.mark.parametrize("budget", PAPER)
def test_the_papers_budgets_give_the_papers_networks(
    budget: str, space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    base = baseline(Problem(space, arm, parse_budgets([budget])))
    assert base is not None
    assert base.name == f"ShuffleNet v2 {PAPER[budget]}"
    size = list(SHUFFLENET_V2)[list(PAPER).index(budget)]
    assert base.found.costs.flops[0] == shufflenet_v2(size).flops
    assert base.found.costs.params[0] == shufflenet_v2(size).params
    assert len(base.found) == 1


@pytest.mark.parametrize(
    ("budgets", "limits"),
    [
        (["100M"], {"flops": 100e6}),
        (["30ms"], {"latency_s": 0.03}),
        (["1.9Mparams"], {"params": 1.9e6}),
        (["300M", "1.5Mparams", "60ms"], {"flops": 300e6, "params": 1.5e6, "latency_s": 0.06}),
        (["10G"], {"flops": 10e9}),
        (["400M"], {"flops": 400e6}),
    ],
)
def test_other_budgets_give_the_widest_that_fits(
    budgets: list[str], limits: dict[str, float], space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    base = baseline(Problem(space, arm, parse_budgets(budgets)))
    width = _widest(space, arm, limits)
    assert base is not None
    arch = space.architecture(base.found.genes[0])
    assert [space.value(arch, f"width{s}") for s in (2, 3, 4)] == [width, 2 * width, 4 * width]
    assert base.name in (f"ShuffleNet v2 width {width}", "ShuffleNet v2 1x")


@pytest.mark.parametrize("budget", ["5M", "1ms", "100Kparams"])
def test_none_fits(budget: str, space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    assert baseline(Problem(space, arm, parse_budgets([budget]))) is None


def test_guidelines_do_not_bind_the_baseline(space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    """Dropping one changes nothing: the baseline has no open axes."""
    relaxed = baseline(Problem(space, arm, parse_budgets(["146M"]), ("g2", "g4")))
    assert relaxed is not None
    assert relaxed.name == "ShuffleNet v2 1x"


def test_paper_axes(space: ShuffleNetV2Space) -> None:
    axes = paper_axes(space)
    assert axes.sizes.tolist() == [59]  # 24, 28 ... 256
    genes = axes.genes(np.array([[0], [23], [58]]))
    expected = [space.point((w, 2 * w, 4 * w), head=head_of(w)).genes for w in (24, 116, 256)]
    assert genes.tolist() == [list(row) for row in expected]


def test_heads_are_those_of_table_5() -> None:
    assert [head_of(widths[0]) for widths, _ in SHUFFLENET_V2.values()] == [
        head for _, head in SHUFFLENET_V2.values()
    ]
