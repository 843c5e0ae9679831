"""The networks off the shelf against timm's and torchvision's: counts, outputs, top-1."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision.models
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latency.engines.testing import randomise_norms
from space.network.torch_module import build_module
from space.zoo import catalog as zoo
from space.zoo.released import released_names
from tests.helpers.peers import OTHER_SIZES, PEERS, copy_in_order, scattered
from tests.helpers.torch_modules import images

PAIRS = [
    pytest.param(
        name, make, id=f"{name}-{number}", marks=[pytest.mark.slow] * (name in OTHER_SIZES)
    )
    for name, makes in PEERS.items()
    for number, make in enumerate(makes)
]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return make().eval()


def test_every_network_off_the_shelf_has_a_peer() -> None:
    new = [name for name, known in zoo.known_networks().items() if not known.of_paper]
    assert [name for name in new if not name.endswith("released")] == list(PEERS)


@pytest.mark.parametrize(("name", "make"), PAIRS)
def test_counts_are_the_peers(name: str, make: Callable[[], nn.Module]) -> None:
    network = zoo.published_network(name).network()
    theirs = seeded(make).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        theirs(torch.empty(1, 3, 224, 224, device="meta"))
    params = sum(weight.numel() for weight in theirs.parameters())
    assert (network.flops, network.params) == (counter.get_total_flops() // 2, params)


# torchvision's RegNet runs the shortcut before the branch; timm's, which is compared, after it.
ORDERED = [pair for pair in PAIRS if pair.id != "RegNetY-400MF-1"]


@pytest.mark.parametrize(("name", "make"), ORDERED)
def test_outputs_are_the_peers(name: str, make: Callable[[], nn.Module]) -> None:
    """With the peer's random weights and batch norms, on sides that do not halve."""
    x = images(2, 3, 43, 59)
    theirs = scattered(randomise_norms(seeded(make)))
    ours = build_module(zoo.published_network(name).network(43, 59))
    copy_in_order(ours, theirs, x)
    # Activations of random weights grow so much that float32 rounds away a thousandth.
    with torch.no_grad():
        expected, got = theirs.double()(x.double()), ours.double()(x.double())
    between = float((expected[0] - expected[1]).abs().max())  # what the images make
    assert between > 1e-2 * float(expected.abs().max())
    assert float((got - expected).abs().max()) < 1e-9 * between


@pytest.mark.parametrize(
    ("size", "flops"), [("1.0", 145_814_296), ("1.5", 298_970_656), ("2.0", 590_783_000)]
)
def test_the_released_shufflenet_v2_counts_what_the_paper_prints(size: str, flops: int) -> None:
    """145.8M, 299.0M and 590.8M; the paper prints 146M, 299M and 591M."""
    network = zoo.published_network(f"ShuffleNet v2 {size}x released").network()
    printed = zoo.published_network(f"ShuffleNet v2 {size}x").published_flops
    assert network.flops == flops
    assert round(network.flops / 1e6) * 1e6 == printed


class ReleasedUnit(nn.Module):
    """The authors' unit of stride 2: the projection keeps the channels of the input."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        mid, c_main = c_out // 2, c_out - c_in
        self.main = nn.Sequential(
            *(nn.Conv2d(c_in, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU()),
            *(nn.Conv2d(mid, mid, 3, 2, 1, groups=mid, bias=False), nn.BatchNorm2d(mid)),
            *(nn.Conv2d(mid, c_main, 1, bias=False), nn.BatchNorm2d(c_main), nn.ReLU()),
        )
        self.project = nn.Sequential(
            *(nn.Conv2d(c_in, c_in, 3, 2, 1, groups=c_in, bias=False), nn.BatchNorm2d(c_in)),
            *(nn.Conv2d(c_in, c_in, 1, bias=False), nn.BatchNorm2d(c_in), nn.ReLU()),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        projected = self.project(x)
        joined = torch.cat((projected, self.main(x)), 1)
        return joined.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def test_outputs_of_the_released_unit() -> None:
    network = zoo.published_network("ShuffleNet v2 1.0x released").network()
    first = build_module(network).blocks[1]
    theirs = randomise_norms(seeded(lambda: ReleasedUnit(24, 116)))
    x = images(2, 24, 56, 56)
    copy_in_order(first, theirs, x)
    with torch.no_grad():
        torch.testing.assert_close(first(x), theirs(x))


# What is published


def of_torchvision(weights: str) -> float:
    """`torchvision mnasnet0_5.IMAGENET1K_V1` -> its top-1 in torchvision's metadata."""
    model, version = weights.removeprefix("torchvision ").split(".")
    found = torchvision.models.get_model_weights(model)[version]
    return float(found.meta["_metrics"]["ImageNet-1K"]["acc@1"])


ROWS = [
    pytest.param(name, each, id=each.weights)
    for name in released_names()
    for each in zoo.published_network(name).weights
]


@pytest.mark.parametrize(("name", "row"), [p for p in ROWS if "torchvision" in str(p.id)])
def test_top1_of_torchvision(name: str, row) -> None:
    assert row.top1 == of_torchvision(row.weights)


def test_top1_is_that_of_the_published_tables(shared: Path) -> None:
    """Every row but those of `ABSENT`, by name, with the FLOPs of the network."""
    with lzma.open(shared / "data" / "imagenet_zoo" / "imagenet_zoo.csv.xz") as file:
        table = pd.read_csv(file)
    table = table.set_index(["source", "name", "res"])[["top1", "macs"]]
    compared = 0
    for name in released_names():
        known = zoo.published_network(name)
        for row in known.weights:
            source, model = row.weights.split(" ", 1)
            if (source, model) in ABSENT:
                continue
            top1, macs = table.loc[(source, model, known.height)]
            assert row.top1 == pytest.approx(top1, abs=1e-9), row
            if not row.weights.startswith("timm mobileone"):  # counted with its branches
                assert macs == known.network().flops, row
            compared += 1
    assert compared >= 65


# Above the 1.5G of that table; figures of torchvision's metadata and of the RepVGG paper.
ABSENT = {
    ("torchvision", "resnet18.IMAGENET1K_V1"),
    ("torchvision", "resnet50.IMAGENET1K_V1"),
    ("torchvision", "resnet50.IMAGENET1K_V2"),
    ("DingXiaoH/RepVGG", "RepVGG-A0"),
}
