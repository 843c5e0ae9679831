from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import (
    NAMES,
    PAPER_LIMITS,
    PARTS,
    Guidelines,
    elementwise,
    fragments,
    parts,
    pointwise_bound,
    pointwise_ungrouped,
    ratios,
)
from space.graph.op import Op
from space.network.block import Block
from space.zoo.catalog import PAPER_NETWORKS
from space.zoo.families import SHUFFLENET_V2, shufflenet_v1, shufflenet_v2


def pointwise(c_in: int, c_out: int, size: int = 56, **fields: int) -> Op:
    return Op(kind="conv", c_in=c_in, c_out=c_out, height=size, width=size, **fields)


def of(block: Block) -> Guidelines:
    return Guidelines.of([block])


def broken(numbers: Guidelines) -> set[str]:
    return {name for name, value in numbers.violations(PAPER_LIMITS).items() if value > 0}


def test_g1_by_the_papers_formula() -> None:
    """MAC = hw (c1 + c2) + c1 c2 against 2 sqrt(hw B) + B / hw, B = hw c1 c2: 24 -> 58, 56x56."""
    hw, c1, c2 = 56 * 56, 24, 58
    b = hw * c1 * c2
    bound = 2 * math.sqrt(hw * b) + b / hw
    assert pointwise_bound(pointwise(c1, c2)) == pytest.approx(bound)
    block = Block("conv", 56, 56, c_in=c1, c_out=c2)
    assert of(block).g1 == pytest.approx((hw * (c1 + c2) + c1 * c2) / bound)
    assert of(block).g1 == pytest.approx(1.0983, abs=5e-5)  # 258,544 / 235,397


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_g1_bound_is_reached_at_equal_widths_and_nowhere_else(groups: int) -> None:
    """At 24 x 96 channels and fixed groups: every split of the same product of widths."""
    for c_in in (16, 24, 32, 48, 64, 72, 96, 144):
        one = pointwise(c_in, 48 * 48 // c_in, groups=groups)
        assert one.weights == 48 * 48 // groups
        if c_in == 48:
            assert pointwise_bound(one) == one.mem_access
        else:
            assert pointwise_bound(one) < one.mem_access


def test_g1_bound_of_a_strided_convolution_keeps_both_sizes() -> None:
    """Input c1 h1 w1 and output c2 h2 w2 of a fixed product: least where both are equal."""
    one = pointwise(16, 64, size=8, stride=2)
    assert one.in_elements == one.out_elements == 1024
    assert pointwise_bound(one) == one.mem_access
    assert pointwise_bound(pointwise(32, 32, size=8, stride=2)) < one.in_elements * 5


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_g2_by_the_papers_formula(groups: int) -> None:
    """MAC = hw c1 + B g / c1 + B / hw; its growth over g = 1 at the same B and input."""
    hw, c1, c2 = 28 * 28, 64, 128
    b = hw * c1 * c2 / groups

    def mac(g: int) -> float:
        return hw * c1 + b * g / c1 + b / hw

    one = pointwise(c1, c2, size=28, groups=groups)
    assert one.mem_access == mac(groups)
    assert pointwise_ungrouped(one) == mac(1)
    block = Block("conv", 28, 28, c_in=c1, c_out=c2, groups=groups)
    assert of(block).g2 == pytest.approx(mac(groups) / mac(1))
    assert (of(block).g2 == 1) == (groups == 1)


def test_g3_counts() -> None:
    """Paper, section 2, G3: convolutions and poolings of a unit."""
    v2 = {"c_in": 64, "c_out": 64, "branch": 32}
    counts = [
        (Block("shufflenet_v2", 28, 28, **v2), 3),
        (Block("shufflenet_v2", 28, 28, **v2, stride=2), 5),
        (Block("shufflenet_v2", 28, 28, **v2, fragments=4), 12),
        (Block("shufflenet_v2", 28, 28, **v2, fragments=4, stride=2, serial=1), 14),
        (Block("shufflenet_v2", 28, 28, **v2, residual=1, extra_relu=1), 3),
        (Block("shufflenet_v1", 28, 28, c_in=240, c_out=240), 3),
        (Block("shufflenet_v1", 28, 28, c_in=240, c_out=480, stride=2), 4),
        (Block("inverted_residual", 28, 28, c_in=32, c_out=32, residual=1), 3),
        (Block("separable", 28, 28, c_in=32, c_out=32), 2),
        (Block("pointwise_fragments", 28, 28, c_in=32, c_out=32, fragments=4), 4),
        (Block("stem", 224, 224, c_out=24), 2),
        (Block("head", 7, 7, c_in=64, c_out=128), 1),
        (Block("classifier", 7, 7, c_in=64), 0),
    ]
    for block, count in counts:
        assert fragments(block.steps) == of(block).g3 == count, str(block)
    assert Guidelines.of([block for block, _ in counts]).g3 == 14


def test_g4_by_hand() -> None:
    """A ShuffleNet v2 unit of stride 1, 8 channels of 10x10, half of them through the branch.

    1x1, twice: 400 + 400 + 16 = 816; the ReLU after each: 800. Depthwise 3x3: 400 + 400 + 36.
    Concatenation and shuffle: 800 + 800. Slices are views.
    """
    block = Block("shufflenet_v2", 10, 10, c_in=8, c_out=8, branch=4)
    own = 2 * 800 + 836
    assert of(block).g4 == pytest.approx(own / (2 * 816 + own + 1600))


def test_g4_counts_adds_and_relus_on_their_own() -> None:
    """The unit above with a residual (3 x 400) and a ReLU over all 8 channels (2 x 800)."""
    block = Block("shufflenet_v2", 10, 10, c_in=8, c_out=8, branch=4, residual=1, extra_relu=1)
    own = 2 * 800 + 836 + 1200 + 1600
    assert of(block).g4 == pytest.approx(own / (2 * 816 + own + 1600))


def test_elementwise_of_each_kind() -> None:
    def op(kind: str, **fields: object) -> Op:
        return Op(kind=kind, c_in=4, c_out=4, height=5, width=5, **fields)  # type: ignore[arg-type]

    assert elementwise(op("conv")) == 0
    assert elementwise(op("conv", act="relu")) == elementwise(op("conv", act="relu6")) == 200
    assert elementwise(op("dwconv", kernel=3)) == 236
    assert elementwise(op("dwconv", kernel=3, act="relu")) == 436
    assert elementwise(op("relu")) == 200
    assert elementwise(op("add")) == 300
    for kind in ("linear", "maxpool", "avgpool", "globalpool", "slice", "concat", "shuffle"):
        assert elementwise(op(kind)) == 0


def test_parts_add_up_over_blocks() -> None:
    """The numbers of a network weigh each op by the memory it moves: summed op by op here."""
    network = shufflenet_v1("0.5")
    ops = [op for block in network.blocks for op in block.ops]
    dense = [op for op in ops if op.kind == "conv" and op.kernel == 1]
    activations = sum(2 * op.out_elements for op in ops if op.act)
    access = sum(op.mem_access for op in dense)
    own = sum(op.mem_access for op in ops if op.kind in ("dwconv", "relu", "add")) + activations
    numbers = Guidelines.of(network.blocks)
    bound = sum(
        2 * math.sqrt(op.in_elements * op.out_elements) + op.c_in * op.c_out // op.groups
        for op in dense
    )
    plain = sum(
        op.in_elements + op.out_elements // op.groups + op.c_in * op.c_out // op.groups
        for op in dense
    )
    assert numbers.g1 == pytest.approx(access / bound)
    assert numbers.g2 == pytest.approx(access / plain)
    assert numbers.g4 == pytest.approx(own / (sum(op.mem_access for op in ops) + activations))
    sums = np.array([parts(block.steps) for block in network.blocks]).sum(axis=0)
    assert sums.tolist() == pytest.approx(
        [access, bound, plain, own, sum(op.mem_access for op in ops) + activations]
    )
    assert len(PARTS) == len(sums)


def test_without_1x1_convolutions_g1_and_g2_are_1() -> None:
    numbers = of(Block("stem", 32, 32, c_out=8))
    assert (numbers.g1, numbers.g2) == (1, 1)
    sums = np.array([[0.0, 0, 0, 2, 8], [12, 10, 8, 3, 4]])
    g1, g2, g4 = ratios(sums)
    assert g1.tolist() == [1, 1.2]
    assert g2.tolist() == [1, 1.5]
    assert g4.tolist() == [0.25, 0.75]


def test_violations_are_value_minus_limit() -> None:
    numbers = Guidelines(g1=1.5, g2=1.0, g3=5, g4=0.25)
    limits = Guidelines(g1=1.25, g2=1.5, g3=5, g4=0.5)
    assert numbers.violations(limits) == {"g1": 0.25, "g2": -0.5, "g3": 0, "g4": -0.25}
    assert tuple(numbers.violations(limits)) == NAMES


@pytest.mark.parametrize("size", SHUFFLENET_V2)
def test_the_papers_networks_keep_all_limits(size: str) -> None:
    assert broken(Guidelines.of(shufflenet_v2(size).blocks)) == set()


@pytest.mark.parametrize("name", [name for name in PAPER_NETWORKS if "ShuffleNet v1" in name])
def test_shufflenet_v1_breaks_g1_g2_g4(name: str) -> None:
    assert broken(Guidelines.of(PAPER_NETWORKS[name]().blocks)) == {"g1", "g2", "g4"}


@pytest.mark.parametrize("name", [name for name in PAPER_NETWORKS if "MobileNet v2" in name])
def test_mobilenet_v2_breaks_g1_g4(name: str) -> None:
    assert broken(Guidelines.of(PAPER_NETWORKS[name]().blocks)) == {"g1", "g4"}


@pytest.mark.parametrize("name", [name for name in PAPER_NETWORKS if "MobileNet v1" in name])
def test_mobilenet_v1_breaks_g4_alone(name: str) -> None:
    """Its 1x1 convolutions keep or double the width (1.061 at most), its depthwise ones weigh."""
    assert broken(Guidelines.of(PAPER_NETWORKS[name]().blocks)) == {"g4"}


def test_repeated_units_break_g1_on_their_own() -> None:
    """The bottleneck of v1 and the inverted one of MobileNet v2; v1's break G2 too."""
    seen: Counter[str] = Counter()
    for name, make in PAPER_NETWORKS.items():
        for block in make().blocks:
            if block.kind == "shufflenet_v1" and block["stride"] == 1:
                assert {"g1", "g2"} <= broken(of(block)), f"{block} of {name}"
            elif block.kind == "inverted_residual" and block["residual"]:
                if block["expansion"] == 1:
                    continue  # the first unit at multiplier 0.15: no bottleneck, 8 -> 8
                assert "g1" in broken(of(block)), f"{block} of {name}"
            elif block.kind == "shufflenet_v2" and block["stride"] == 1:
                assert broken(of(block)) == set(), f"{block} of {name}"
                assert (of(block).g1, of(block).g2) == (1, 1)
            else:
                continue
            seen[block.kind] += 1
    assert (seen["shufflenet_v1"], seen["shufflenet_v2"]) == (4 * 13, 4 * 13)
    assert seen["inverted_residual"] >= 6 * 10  # 10 repeated units each


# What each closed choice does to ShuffleNet v2 1x. Three stay within PAPER_LIMITS on their own.
RELAXED = [
    ("bottleneck=1/4", {"g1"}),
    ("bottleneck=1/2", set()),
    ("bottleneck=2", {"g1"}),
    ("bottleneck=4", {"g1", "g4"}),
    ("groups=2", {"g2"}),
    ("groups=4", {"g2"}),
    ("groups=8", {"g2"}),
    ("fragments=2-parallel", {"g3"}),
    ("fragments=4-parallel", {"g1", "g3", "g4"}),
    ("fragments=2-serial", {"g3"}),
    ("fragments=4-serial", {"g1", "g3"}),
    ("residual=1", set()),
    ("extra_relu=1", set()),
    ("residual=1 extra_relu=1", {"g4"}),
]


@pytest.mark.parametrize(("words", "expected"), RELAXED)
def test_what_relaxed_choices_break(
    space: ShuffleNetV2Space, words: str, expected: set[str]
) -> None:
    plain = space.point((116, 232, 464))
    arch = space.parse(f"{space.text(plain)} {words}")
    numbers = Guidelines.of(space.lower(arch).blocks)
    assert broken(numbers) == expected
    base = Guidelines.of(space.lower(plain).blocks)
    for parameter in space.parameters:
        if parameter.breaks and parameter.name in words:
            assert getattr(numbers, parameter.breaks) > getattr(base, parameter.breaks)


def test_every_relaxed_choice_is_tried(space: ShuffleNetV2Space) -> None:
    tried = {words for words, _ in RELAXED}
    for parameter in space.parameters:
        if parameter.breaks:
            assert {f"{parameter.name}={choice}" for choice in parameter.choices[1:]} <= tried
