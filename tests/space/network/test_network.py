from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torchvision.models
from torch import nn

from space.network.block import Block
from space.network.network import Network, NetworkBuilder
from space.zoo.catalog import PAPER_NETWORKS
from space.zoo.families import (
    SHUFFLENET_V1,
    SHUFFLENET_V2,
    STAGE_DEPTHS,
    mobilenet_v1,
    mobilenet_v2,
    shufflenet_v1,
    shufflenet_v2,
)

# Paper, Table 5 (v2) and Table 8, in millions of multiply-adds as printed.
PRINTED = {
    "ShuffleNet v2 0.5x": 41,
    "ShuffleNet v2 1.0x": 146,
    "ShuffleNet v2 1.5x": 299,
    "ShuffleNet v2 2.0x": 591,
    "ShuffleNet v1 0.5x g=3": 38,
    "ShuffleNet v1 1.0x g=3": 140,
    "ShuffleNet v1 1.5x g=3": 292,
    "ShuffleNet v1 2.0x g=3": 524,
    "MobileNet v1 0.25": 41,
    "MobileNet v1 0.5": 149,
    "MobileNet v1 0.75": 325,
    "MobileNet v1 1.0": 569,
    # The other MobileNet v2 of Table 8 are the authors' own, whose rounding is not published.
    "MobileNet v2 0.4 160x160": 43,
    "MobileNet v2 1.0": 301,
    "MobileNet v2 1.4": 587,
}


def parameters(name: str, **options: float) -> int:
    with torch.device("meta"):
        module: nn.Module = getattr(torchvision.models, name)(**options)
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("size", SHUFFLENET_V2)
def test_shufflenet_v2_parameters_are_those_of_torchvision(size: str) -> None:
    name = f"shufflenet_v2_x{size.replace('.', '_')}"
    assert shufflenet_v2(size).params == parameters(name)


def test_shufflenet_v2_1x_counts() -> None:
    network = shufflenet_v2()
    assert network.params == 2_278_604
    assert network.flops == 144_907_992


@pytest.mark.parametrize("multiplier", [0.15, 0.4, 0.6, 0.75, 1.0, 1.4])
def test_mobilenet_v2_parameters_are_those_of_torchvision(multiplier: float) -> None:
    expected = parameters("mobilenet_v2", width_mult=multiplier)
    assert mobilenet_v2(multiplier).params == expected


def test_mobilenet_v1_parameters() -> None:
    """MobileNet paper, Table 4: 4.2 million; worked out by hand from its Table 1."""
    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    expected = 3 * 32 * 9 + 2 * 32 + 1024 * 1000 + 1000
    for c_in, c_out in pairwise(widths):
        expected += 9 * c_in + 2 * c_in + c_in * c_out + 2 * c_out
    assert mobilenet_v1().params == expected == 4_231_976


@pytest.mark.parametrize("name", PRINTED)
def test_flops_are_within_3_percent_of_those_printed(name: str) -> None:
    assert PAPER_NETWORKS[name]().flops / 1e6 == pytest.approx(PRINTED[name], rel=0.03)


def test_table_8_names_its_networks() -> None:
    """18 rows; a name states family, size and, where it is not 224, input size."""
    assert len(PAPER_NETWORKS) == 18
    assert set(PRINTED) <= set(PAPER_NETWORKS)
    for name, make in PAPER_NETWORKS.items():
        network = make()
        at = re.search(r" (\d+)x(\d+)$", name)
        height, width = (int(at[1]), int(at[2])) if at else (224, 224)
        assert network.input_shape == (3, height, width)
        family, size = name.split()[:2], float(name.split()[2].rstrip("x"))
        assert network.name.split()[:2] == family
        assert float(network.name.split()[2].rstrip("x")) == size
        assert network.blocks[-1].out_shape == (1000, 1, 1)


def test_printed_flops_are_those_of_the_papers_table(
    paper: Callable[[str], list[dict[str, str]]],
) -> None:
    """The numbers above against the transcribed Table 8."""
    rows = {row["model"]: float(row["mflops"]) for row in paper("table8.csv")}
    for name, printed in PRINTED.items():
        family = name.split()[0] + " " + name.split()[1]
        size = f"{float(name.split()[2].rstrip('x')):g}"
        found = [
            flops
            for model, flops in rows.items()
            if family in model
            and re.search(rf"(?<![\d.]){re.escape(size)}(\.0)?(?![\d.])", model.split("[")[0])
            and "SE" not in model
        ]
        assert printed in found, name


def test_widths_are_those_of_the_papers_table_5(
    paper: Callable[[str], list[dict[str, str]]],
) -> None:
    rows = paper("table5_architecture.csv")
    for size in SHUFFLENET_V2:
        column = f"c_{float(size):g}x"
        wanted = [(24, 56)]
        for row in rows:
            if row["layer"].startswith("Stage"):
                side = int(row["output_size"].split("x")[0])
                wanted += [(int(row[column]), side)] * int(row["repeat"])
        conv5 = next(row for row in rows if row["layer"] == "Conv5")
        *body, head = shufflenet_v2(size).blocks
        assert [(b.out_shape[0], b.out_shape[1]) for b in body] == wanted
        assert head["c_out"] == int(conv5[column])
        assert PRINTED[f"ShuffleNet v2 {size}x"] == int(
            next(row for row in rows if row["layer"] == "FLOPs")[column].rstrip("M")
        )


def test_shufflenet_v1_widths() -> None:
    """v1 paper, Table 1, g = 3: 240, 480, 960 with 4, 8, 4 units; only its first 1x1 is dense."""
    stem, *units, tail = shufflenet_v1().blocks
    assert (stem["c_out"], stem["pool"], tail.c_in) == (24, 1, 960)
    widths = [unit["c_out"] for unit in units]
    assert widths == [240] * 4 + [480] * 8 + [960] * 4
    assert [unit["first"] for unit in units] == [1] + [0] * 15
    assert [unit["stride"] for unit in units] == [2, 1, 1, 1, 2, *[1] * 7, 2, 1, 1, 1]
    assert [unit["c_out"] for unit in shufflenet_v1("0.5").blocks[1:2]] == [120]
    assert set(SHUFFLENET_V1) == set(SHUFFLENET_V2)
    assert STAGE_DEPTHS == (4, 8, 4)


def test_unknown_size_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"ShuffleNet v2 comes in 0.5, 1.0, 1.5, 2.0; got '3'"):
        shufflenet_v2("3")
    with pytest.raises(ValueError, match=r"ShuffleNet v1 comes in .*; got '0.25'"):
        shufflenet_v1("0.25")


def test_costs_are_sums_over_blocks() -> None:
    network = shufflenet_v2("0.5")
    ops = [op for block in network.blocks for op in block.ops]
    assert network.flops == sum(int(op.flops) for op in ops)
    assert network.params == sum(int(op.params) for op in ops)


def test_blocks_must_fit() -> None:
    stem = Block("stem", 224, 224, c_out=24)
    right = Block("separable", 56, 56, c_in=24, c_out=32)
    assert Network("a", (stem, right)).input_shape == (3, 224, 224)
    wide = Block("separable", 56, 56, c_in=32, c_out=32)
    with pytest.raises(
        ValueError, match=r"c_in=32.* of a takes \(32, 56, 56\); got \(24, 56, 56\)"
    ):
        Network("a", (stem, wide))
    flat = Block("separable", 28, 56, c_in=24, c_out=32)
    with pytest.raises(ValueError, match=r"takes \(24, 28, 56\); got \(24, 56, 56\)"):
        Network("a", (stem, flat))
    narrow = Block("separable", 56, 28, c_in=24, c_out=32)
    with pytest.raises(ValueError, match=r"takes \(24, 56, 28\); got \(32, 56, 56\)"):
        Network("a", (stem, right, narrow, right))


def test_chain_follows_size_and_channels() -> None:
    chain = NetworkBuilder("c", 161, 225, channels=1)
    chain.add("stem", c_out=8)
    chain.add("separable", c_out=12, stride=2)
    chain.add("classifier", classes=10)
    network = chain.network()
    assert network.input_shape == (1, 161, 225)
    assert [block.out_shape for block in network.blocks] == [(8, 41, 57), (12, 21, 29), (10, 1, 1)]


@pytest.mark.parametrize("family", [shufflenet_v2, shufflenet_v1])
def test_odd_input_size(family: Callable[[str, int, int], Network]) -> None:
    network = family("0.5", 225, 161)
    assert network.input_shape == (3, 225, 161)
    sizes = [block.out_shape[1:] for block in network.blocks if block.kind != "head"]
    assert sizes[0] == (57, 41)
    assert sizes[-2] == (8, 6)
    assert mobilenet_v2(0.4, 225, 161).blocks[-2].out_shape[1:] == (8, 6)
    assert mobilenet_v1(0.25, 225, 161).blocks[-2].out_shape[1:] == (8, 6)
