"""Networks on small inputs: which halvings are dropped, and what that costs, counted by hand."""

from __future__ import annotations

import pytest

from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import Network
from space.network.resize import on_input, total_stride
from space.zoo.catalog import published_network
from space.zoo.families import mobilenet_v2, shufflenet_v1, shufflenet_v2
from space.zoo.mobile import efficientnet, lcnet, mobilenet_v3, mobilenet_v4_conv_small
from space.zoo.residual import mobileone_s0


def conv(side: int, kernel: int, c_in: int, c_out: int) -> int:
    """Multiply-adds of a convolution by its definition; `side` of the output."""
    return side * side * kernel * kernel * c_in * c_out


def test_flops_of_shufflenet_by_hand() -> None:
    """0.5x at 32x32 without both halvings: the stem at 32, stages at 16, 8 and 4."""
    expected = conv(32, 3, 3, 24) + conv(4, 1, 192, 1024) + 1024 * 10
    c_in, side = 24, 32
    for c_out, depth in ((48, 4), (96, 8), (192, 4)):
        half = c_out // 2
        expected += conv(side, 1, c_in, half)
        side //= 2
        # projection: depthwise and 1x1; branch: depthwise and 1x1 after the first 1x1 at full size
        expected += conv(side, 3, 1, c_in) + conv(side, 1, c_in, half)
        expected += conv(side, 3, 1, half) + conv(side, 1, half, half)
        unit = 2 * conv(side, 1, half, half) + conv(side, 3, 1, half)
        expected += (depth - 1) * unit
        c_in = c_out
    adapted = on_input(shufflenet_v2("0.5"), 32, 32, classes=10)
    assert adapted.flops == expected
    assert adapted.input_shape == (3, 32, 32)


@pytest.mark.parametrize("drop, stride", [(0, 32), (1, 16), (2, 8)])
@pytest.mark.parametrize(
    "network",
    [
        shufflenet_v2("1.0"),
        shufflenet_v1(),
        mobilenet_v2(0.6),
        mobilenet_v3("small"),
        mobilenet_v3("large", 0.75),
        mobilenet_v4_conv_small(),
        lcnet(0.5),
        efficientnet("B0"),
        mobileone_s0(),
    ],
    ids=lambda network: network.name if isinstance(network, Network) else "",
)
def test_dropping_halves_the_stride(network, drop: int, stride: int) -> None:
    adapted = on_input(network, 64, 64, classes=7, drop=drop)
    assert total_stride(adapted) == stride
    assert adapted.blocks[-1]["classes"] == 7
    # the same weights but for the classifier: halvings have none
    classifier = int(adapted.blocks[-1].ops[-1].c_in) + 1
    assert network.params - adapted.params == classifier * (1000 - 7)


def test_pool_goes_before_the_stride() -> None:
    stem = on_input(shufflenet_v2("0.5"), 32, 32, classes=10, drop=1).blocks[0]
    assert (stem["pool"], stem["stride"]) == (0, 2)
    blocks = on_input(mobilenet_v2(1.0), 32, 32, classes=10, drop=1).blocks
    assert blocks[0]["stride"] == 2
    assert [b["stride"] for b in blocks[1:-1] if b["stride"] == 2] == [2, 2, 2]


def test_large_input_keeps_the_network() -> None:
    network = shufflenet_v2("1.0")
    assert on_input(network, 224, 224, classes=1000) == network
    strides = [total_stride(on_input(network, side, 64, classes=10)) for side in (64, 65)]
    assert strides == [8, 32]


@pytest.mark.parametrize(
    "name, side, drop, message",
    [
        ("ShuffleNet v2 0.5x", 32, 3, "0, 1 or 2; got 3"),
        ("ShuffleNet v2 0.5x", 15, 1, "at least 16x16; got 15x15"),
        ("ResNet-50", 32, 2, "halvings of ResNet-50 .*: resnet_stem has other weights"),
        ("GhostNet 1.0x", 32, 2, "ghost has other weights at stride 1. Choose an input above 64x"),
        ("SqueezeNet 1.1", 32, 2, "squeezenet_stem has other weights"),
        ("GoogLeNet inception 3a", 32, 0, "images have 3 channels; .* takes 192"),
    ],
)
def test_refused(name: str, side: int, drop: int, message: str) -> None:
    entry = published_network(name)
    with pytest.raises(ValueError, match=message):
        on_input(entry.make(entry.height, entry.width), side, side, classes=10, drop=drop)


def test_no_classes() -> None:
    with pytest.raises(ValueError, match="`classes` must be at least 1; got 0"):
        on_input(shufflenet_v2("0.5"), 32, 32, classes=0)


def test_module_runs_at_the_counted_shapes() -> None:
    """The torch module on a small input, from the same lowering."""
    import torch

    from space.network.torch_module import build_module

    space = ShuffleNetV2Space()
    rows = space.point((48, 96, 192), depths=(2, 2, 2))
    network = on_input(space.lower(rows), 32, 32, classes=10)
    module, shapes = build_module(network), []
    for block in module.blocks:
        block.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    with torch.inference_mode():
        module(torch.zeros(1, 3, 32, 32))
    assert shapes[:-1] == [block.out_shape for block in network.blocks[:-1]]
    assert shapes[-1] == (10,)
    assert shapes[-2][1:] == (4, 4)
