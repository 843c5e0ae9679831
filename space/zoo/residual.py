"""GhostNet and RepGhost, MobileOne, RegNet, SqueezeNet, ResNet-18.

Each takes the height and width of the input. They are those of timm and torchvision
(tests/space/zoo/test_peers.py); `space.zoo.shelf` has what is published of them.
"""

from __future__ import annotations

from space.network.network import Network, NetworkBuilder
from space.zoo.families import round_channels, stages

# GhostNet paper, Table 1: (kernel, inner width, c_out, squeeze-and-excitation, stride). RepGhost
# has half the inner widths (RepGhost paper, Table 1), but in two units.
GHOSTNET = (
    (3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1),
    (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1),
    (3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 0, 1),
    (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1),
)  # fmt: skip
REPGHOST_INNER = {184: 240}  # where RepGhost's inner width is half of another number


def _ghost_like(kind: str, builder: NetworkBuilder, times: float) -> None:
    """The body and the head of GhostNet with units of `kind`."""
    for kernel, mid, c_out, se, stride in GHOSTNET:
        if kind == "repghost":
            mid = REPGHOST_INNER.get(mid, mid) // 2
        inner = round_channels(mid * times, 4)
        fields = {"mid": inner, "kernel": kernel, "stride": stride}
        fields["se"] = round_channels(inner / 4, 4) if se else 0
        builder.add(kind, c_out=round_channels(c_out * times, 4), **fields)
    builder.add("mobile_head", c_out=round_channels(960 * times, 4), hidden=1280)


def ghostnet(height: int = 224, width: int = 224) -> Network:
    """GhostNet 1.0x."""
    builder = NetworkBuilder("GhostNet 1.0x", height, width)
    builder.add("mobile_stem", c_out=16)
    _ghost_like("ghost", builder, 1.0)
    return builder.network()


def repghost(width_multiplier: float = 1.0, height: int = 224, width: int = 224) -> Network:
    """RepGhostNet at inference, each module's branches fused."""
    builder = NetworkBuilder(f"RepGhost {width_multiplier:g}x", height, width)
    builder.add("mobile_stem", c_out=round_channels(16 * width_multiplier, 4))
    _ghost_like("repghost", builder, width_multiplier)
    return builder.network()


def mobileone_s0(height: int = 224, width: int = 224) -> Network:
    """MobileOne-S0 at inference (MobileOne paper, Tables 2 and 3): each block's branches fused."""
    builder = NetworkBuilder("MobileOne-S0", height, width)
    builder.add("repvgg_deployed", c_out=48, stride=2)
    for stage, stride in stages((2, 8, 10, 1)):
        builder.add("mobileone", c_out=(48, 128, 256, 1024)[stage], stride=stride)
    builder.add("classifier")
    return builder.network()


# RegNet paper, Figures 17 and 18: depths, widths, channels of a group. Stem 32 for all.
REGNET = {
    "X-200MF": ((1, 1, 4, 7), (24, 56, 152, 368), 8),
    "X-400MF": ((1, 2, 7, 12), (32, 64, 160, 384), 16),
    "Y-200MF": ((1, 1, 4, 7), (24, 56, 152, 368), 8),
    "Y-400MF": ((1, 3, 6, 6), (48, 104, 208, 440), 8),
}


def regnet(name: str, height: int = 224, width: int = 224) -> Network:
    """A RegNet of `REGNET`. Y has a squeeze-and-excitation of a quarter of the unit's input."""
    depths, widths, group = REGNET[name]
    builder = NetworkBuilder(f"RegNet{name}", height, width)
    builder.add("mobile_stem", c_out=32)
    for stage, stride in stages(depths):
        c_out, se = widths[stage], builder.shape[0] // 4 if name.startswith("Y") else 0
        builder.add("regnet", c_out=c_out, groups=c_out // group, stride=stride, se=se)
    builder.add("classifier")
    return builder.network()


# SqueezeNet paper, Table 1, and SqueezeNet 1.1 of its authors: (squeeze, c_out, max-pool after it)
SQUEEZENET_11 = (
    (16, 128, 0), (16, 128, 1), (32, 256, 0), (32, 256, 1), (48, 384, 0), (48, 384, 0),
    (64, 512, 0), (64, 512, 0),
)  # fmt: skip


def squeezenet_11(height: int = 224, width: int = 224) -> Network:
    """SqueezeNet 1.1."""
    builder = NetworkBuilder("SqueezeNet 1.1", height, width)
    builder.add("squeezenet_stem", c_out=64)
    for squeeze, c_out, pool in SQUEEZENET_11:
        builder.add("fire", squeeze=squeeze, c_out=c_out, pool=pool)
    builder.add("squeezenet_head")
    return builder.network()


def resnet_18(height: int = 224, width: int = 224) -> Network:
    """ResNet-18 (ResNet paper, Table 1)."""
    builder = NetworkBuilder("ResNet-18", height, width)
    builder.add("resnet_stem", c_out=64)
    for stage, stride in stages((2, 2, 2, 2), 1):
        builder.add("resnet_basic", c_out=64 << stage, stride=stride)
    builder.add("classifier")
    return builder.network()
