"""The networks that can be had off the shelf: known from their released weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from space.zoo import mobile, residual
from space.zoo.entry import Make, register
from space.zoo.families import shufflenet_v2_released
from space.zoo.released import released_weights

RELEASED = (
    "The authors' code: in units of stride 2 the projection keeps the channels of the input. It "
    "counts {}M, the paper's figure."
)
FUSED = "At inference: parallel branches are fused into one convolution."
TF_PADDING = (
    "The TensorFlow weights pad at the far edge (SAME) where this network pads both; shapes and "
    "counts are equal."
)
TV_X400 = (
    "The authors' network, as timm's regnetx_004 has it. torchvision's regnet_x_400mf is another: "
    "413.8M."
)
MOBILENET_V4 = (
    "The hidden layer of the head is a 1x1 convolution of one position with batch norm, as in the "
    "authors' code. It counts for G1; an audit takes it for a linear layer (G1 1.083)."
)
SQUEEZENET = (
    "Convolutions and pools without padding; a pool cuts off windows at the far edge, as "
    "torchvision's (ceil_mode)."
)


def _networks() -> Iterator[tuple[str, Make, str]]:
    """Name, builder and note of each."""
    for size, count in (("1.0", "145.8"), ("1.5", "299.0"), ("2.0", "590.8")):
        make = partial(shufflenet_v2_released, size)
        yield f"ShuffleNet v2 {size}x released", make, RELEASED.format(count)
    for size in ("small", "large"):
        for times in ("0.75", "1.0"):
            make = partial(mobile.mobilenet_v3, size, float(times))
            note = TF_PADDING if times == "0.75" and size == "large" else ""
            yield f"MobileNetV3 {size} {times}", make, note
    yield "MobileNetV4-Conv-S", mobile.mobilenet_v4_conv_small, MOBILENET_V4
    for times in ("0.35", "0.5", "0.75", "1.0"):
        yield f"PP-LCNet {times}", partial(mobile.lcnet, float(times)), ""
    for times in ("0.5", "0.58", "0.8", "1.0", "1.11", "1.3", "1.5", "2.0"):
        yield f"RepGhost {times}x", partial(residual.repghost, float(times)), FUSED
    yield "GhostNet 1.0x", residual.ghostnet, ""
    yield "MobileOne-S0", residual.mobileone_s0, FUSED
    for times in ("0.5", "1.0"):
        yield f"MnasNet {times}", partial(mobile.mnasnet, float(times)), ""
    yield "EfficientNet-Lite0", partial(mobile.efficientnet, "Lite0"), TF_PADDING
    yield "EfficientNet-B0", partial(mobile.efficientnet, "B0"), TF_PADDING
    for name in residual.REGNET:
        note = TV_X400 if name == "X-400MF" else ""
        yield f"RegNet{name}", partial(residual.regnet, name), note
    yield "FBNet-C", mobile.fbnet_c, ""
    yield "SqueezeNet 1.1", residual.squeezenet_11, SQUEEZENET
    yield "ResNet-18", residual.resnet_18, ""


def register_shelf() -> None:
    """Register each, after the networks of the ShuffleNet v2 paper."""
    for name, make, note in _networks():
        first = released_weights(name)[0]
        error = round(100 - first.top1, 3)
        printed = (None, None, error)
        stride = 16 if make is residual.squeezenet_11 else 32
        register(name, make, printed, first.weights, note, stride=stride, of_paper=False)
