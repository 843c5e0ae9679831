"""The audit of timm's and torchvision's modules against the zoo's own lowering: another route to
memory access and G1, G2, G4."""

from __future__ import annotations

import pytest

from latency.audit.analysis import analyze
from latency.audit.lowering import lower
from latency.audit.torch_reader import export, read_program
from space.cost.guidelines import Guidelines
from space.zoo.catalog import published_network
from tests.helpers.peers import PEERS

NETWORKS = (
    "MobileNetV3 small 0.75", "MobileNetV3 large 1.0", "MobileNetV4-Conv-S", "PP-LCNet 0.75",
    "RepGhost 0.5x", "GhostNet 1.0x", "MobileOne-S0", "MnasNet 0.5", "EfficientNet-Lite0",
    "EfficientNet-B0", "RegNetX-200MF", "RegNetY-400MF", "FBNet-C", "SqueezeNet 1.1", "ResNet-18",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_costs_of_the_module_are_those_of_the_lowering(name: str) -> None:
    network = published_network(name).network()
    source = read_program(export(PEERS[name][0]().eval(), network.input_shape))
    found = analyze(source, lower(source)).network.numbers
    ours = Guidelines.of(network.blocks)
    ops = [op for block in network.blocks for op in block.ops]
    moved = sum(int(op.mem_access) + 2 * int(op.out_elements) * bool(op.act) for op in ops)
    assert (found.flops, found.traffic) == (network.flops, moved)
    assert found.values.g2 == pytest.approx(ours.g2, rel=1e-9)
    assert found.values.g4 == pytest.approx(ours.g4, rel=1e-9)
    if name == "MobileNetV4-Conv-S":  # a 1x1 convolution of one position is linear there
        body = Guidelines.of((*network.blocks[:-1], *last_without_hidden(network.blocks[-1])))
        assert found.values.g1 == pytest.approx(body.g1, rel=1e-9)
    else:
        assert found.values.g1 == pytest.approx(ours.g1, rel=1e-9)


def last_without_hidden(head):
    """A head without its hidden layer."""
    fields = {n: v for n, v in head.fields if not n.startswith("hidden")}
    return (type(head)(head.kind, head.height, head.width, **fields),)
