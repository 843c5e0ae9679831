"""MobileNetV3 and V4, MnasNet, EfficientNet, FBNet, PP-LCNet: networks of depthwise units.

Each takes the height and width of the input. They are those of timm and torchvision
(tests/space/zoo/test_peers.py); `space.zoo.shelf` has what is published of them.
"""

from __future__ import annotations

from typing import NamedTuple

from space.network.network import Network, NetworkBuilder
from space.units.mobile import HARDSWISH, RELU, RELU6, SILU
from space.zoo.families import round_channels


class MbStage(NamedTuple):
    """Units "mbconv" in sequence. `expansion`: inner width / width of the unit's input, 0: none,
    units "mb_separable". `stride`: of the first unit."""

    expansion: float
    c_out: int
    kernel: int
    repeats: int = 1
    stride: int = 1
    se: bool = False
    act: int = RELU


def _add_stages(
    builder: NetworkBuilder, stages: tuple[MbStage, ...], times: float = 1.0, *, se_inner: bool
) -> None:
    """Append the units of stages whose widths are multiplied by `times`. A squeeze-and-excitation
    has a quarter of the unit's inner channels (`se_inner`), in eights, or of its input's."""
    for stage in stages:
        for index in range(stage.repeats):
            c_in, c_out = builder.shape[0], round_channels(stage.c_out * times)
            mid = round_channels(c_in * stage.expansion) if stage.expansion else 0
            kind, fields = ("mbconv", {"mid": mid}) if mid else ("mb_separable", {})
            fields |= {"kernel": stage.kernel, "act": stage.act}
            fields["stride"] = stride = 1 if index else stage.stride
            if stage.se:
                fields["se"] = round_channels((mid or c_in) / 4) if se_inner else c_in // 4
            fields["residual"] = int(stride == 1 and c_in == c_out)
            builder.add(kind, c_out=c_out, **fields)


# MobileNetV3 paper, Tables 1 and 2: stages, width of the last convolution, of the hidden layer.
MOBILENET_V3 = {
    "small": (
        (
            MbStage(0, 16, 3, 1, 2, True),
            MbStage(4.5, 24, 3, 1, 2),
            MbStage(3.67, 24, 3),
            MbStage(4, 40, 5, 1, 2, True, HARDSWISH),
            MbStage(6, 40, 5, 2, 1, True, HARDSWISH),
            MbStage(3, 48, 5, 2, 1, True, HARDSWISH),
            MbStage(6, 96, 5, 3, 2, True, HARDSWISH),
        ),
        576,
        1024,
    ),
    "large": (
        (
            MbStage(0, 16, 3),
            MbStage(4, 24, 3, 1, 2),
            MbStage(3, 24, 3),
            MbStage(3, 40, 5, 3, 2, True),
            MbStage(6, 80, 3, 1, 2, False, HARDSWISH),
            MbStage(2.5, 80, 3, 1, 1, False, HARDSWISH),
            MbStage(2.3, 80, 3, 2, 1, False, HARDSWISH),
            MbStage(6, 112, 3, 2, 1, True, HARDSWISH),
            MbStage(6, 160, 5, 3, 2, True, HARDSWISH),
        ),
        960,
        1280,
    ),
}


def mobilenet_v3(
    size: str, width_multiplier: float = 1.0, height: int = 224, width: int = 224
) -> Network:
    """MobileNetV3; `size` is "small" or "large". The multiplier leaves the hidden layer of the
    head as it is."""
    stages, last, hidden = MOBILENET_V3[size]
    builder = NetworkBuilder(f"MobileNetV3 {size} {width_multiplier:g}", height, width)
    builder.add("mobile_stem", c_out=round_channels(16 * width_multiplier), act=HARDSWISH)
    _add_stages(builder, stages, width_multiplier, se_inner=True)
    c_out = round_channels(last * width_multiplier)
    builder.add("mobile_head", c_out=c_out, hidden=hidden, act=HARDSWISH)
    return builder.network()


# MobileNetV4 paper, appendix, Table 11 (MNv4-Conv-S), from the first "uib" unit on:
# (kernel of the first depthwise convolution, of the second, stride, expansion, c_out, repeats)
MOBILENET_V4_CONV_S = (
    (5, 5, 2, 3, 96, 1), (0, 3, 1, 2, 96, 4), (3, 0, 1, 4, 96, 1),
    (3, 3, 2, 6, 128, 1), (5, 5, 1, 4, 128, 1), (0, 5, 1, 4, 128, 1), (0, 5, 1, 3, 128, 1),
    (0, 3, 1, 4, 128, 2),
)  # fmt: skip


def mobilenet_v4_conv_small(height: int = 224, width: int = 224) -> Network:
    """MobileNetV4-Conv-S."""
    builder = NetworkBuilder("MobileNetV4-Conv-S", height, width)
    builder.add("mobile_stem", c_out=32)
    for mid, c_out in ((32, 32), (96, 64)):
        builder.add("conv", c_out=mid, kernel=3, stride=2)
        builder.add("conv", c_out=c_out)
    for start, kernel, stride, expansion, c_out, repeats in MOBILENET_V4_CONV_S:
        for _ in range(repeats):
            c_in = builder.shape[0]
            fields = {"start": start, "kernel": kernel, "stride": stride}
            fields["residual"] = int(stride == 1 and c_in == c_out)
            builder.add("uib", c_out=c_out, mid=c_in * expansion, **fields)
    builder.add("mobile_head", c_out=960, hidden=1280, hidden_norm=1)
    return builder.network()


# MnasNet paper, Figure 7, and the authors' code: MnasNet-B1.
MNASNET_B1 = (
    MbStage(0, 16, 3),
    MbStage(3, 24, 3, 3, 2),
    MbStage(3, 40, 5, 3, 2),
    MbStage(6, 80, 5, 3, 2),
    MbStage(6, 96, 3, 2, 1),
    MbStage(6, 192, 5, 4, 2),
    MbStage(6, 320, 3),
)
# FBNet paper, Figure 4. An expansion of 1 is a 1x1 convolution too.
FBNET_C = (
    MbStage(1, 16, 3),
    MbStage(6, 24, 3, 1, 2), MbStage(1, 24, 3, 2),
    MbStage(6, 32, 5, 1, 2), MbStage(3, 32, 5), MbStage(6, 32, 5), MbStage(6, 32, 3),
    MbStage(6, 64, 5, 1, 2), MbStage(3, 64, 5), MbStage(6, 64, 5, 2),
    MbStage(6, 112, 5, 3), MbStage(3, 112, 5),
    MbStage(6, 184, 5, 4, 2), MbStage(6, 352, 3),
)  # fmt: skip
# EfficientNet paper, Table 1: (expansion, c_out, kernel, repeats, stride)
EFFICIENTNET_B0 = (
    (0, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 3, 2), (6, 112, 5, 3, 1),
    (6, 192, 5, 4, 2), (6, 320, 3, 1, 1),
)  # fmt: skip


def mnasnet(width_multiplier: float = 1.0, height: int = 224, width: int = 224) -> Network:
    """MnasNet-B1, without squeeze-and-excitation, as torchvision has it."""
    builder = NetworkBuilder(f"MnasNet {width_multiplier:g}", height, width)
    builder.add("mobile_stem", c_out=round_channels(32 * width_multiplier))
    _add_stages(builder, MNASNET_B1, width_multiplier, se_inner=False)
    builder.add("mobile_head", c_out=1280)
    return builder.network()


def fbnet_c(height: int = 224, width: int = 224) -> Network:
    """FBNet-C."""
    builder = NetworkBuilder("FBNet-C", height, width)
    builder.add("mobile_stem", c_out=16)
    _add_stages(builder, FBNET_C, se_inner=False)
    builder.add("mobile_head", c_out=1984)
    return builder.network()


def efficientnet(name: str = "B0", height: int = 224, width: int = 224) -> Network:
    """EfficientNet; `name` is "B0", or "Lite0": without squeeze-and-excitation, with ReLU6."""
    act, se = {"B0": (SILU, True), "Lite0": (RELU6, False)}[name]
    builder = NetworkBuilder(f"EfficientNet-{name}", height, width)
    builder.add("mobile_stem", c_out=32, act=act)
    stages = tuple(MbStage(*row, se=se, act=act) for row in EFFICIENTNET_B0)
    _add_stages(builder, stages, se_inner=False)
    builder.add("mobile_head", c_out=1280, act=act)
    return builder.network()


# PP-LCNet paper, Table 1: (c_out, kernel, stride, squeeze-and-excitation, repeats)
LCNET = (
    (32, 3, 1, 0, 1), (64, 3, 2, 0, 1), (64, 3, 1, 0, 1), (128, 3, 2, 0, 1), (128, 3, 1, 0, 1),
    (256, 3, 2, 0, 1), (256, 5, 1, 0, 5), (512, 5, 2, 1, 1), (512, 5, 1, 1, 1),
)  # fmt: skip


def lcnet(width_multiplier: float = 1.0, height: int = 224, width: int = 224) -> Network:
    """PP-LCNet. The multiplier leaves the hidden layer of the head as it is."""
    builder = NetworkBuilder(f"PP-LCNet {width_multiplier:g}", height, width)
    builder.add("mobile_stem", c_out=round_channels(16 * width_multiplier), act=HARDSWISH)
    for c_out, kernel, stride, se, repeats in LCNET:
        for _ in range(repeats):
            fields = {"kernel": kernel, "stride": stride, "se": se * builder.shape[0] // 4}
            builder.add("lcnet", c_out=round_channels(c_out * width_multiplier), **fields)
    builder.add("hidden_classifier", hidden=1280, act=HARDSWISH)
    return builder.network()
