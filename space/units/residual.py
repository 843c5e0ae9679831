"""The units of ResNet-18, RegNet and SqueezeNet."""

from __future__ import annotations

import numpy as np

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count
from space.units.basic import raw_conv, squeeze_excite


def _add_shortcut(g: GraphBuilder, x: int, stride: int) -> None:
    """Add the input, or a 1x1 convolution of it where shapes change; ReLU."""
    changes = stride != 1 or bool(np.any(g.channels(0) != g.channels(x)))
    shortcut = g.conv(0, g.channels(x), stride=stride) if changes else 0
    g.relu(g.add(x, shortcut))


@unit("resnet_basic")
def resnet_basic(g: GraphBuilder, *, c_in: Count, c_out: Count, stride: int = 1) -> None:
    """ResNet's basic block (ResNet paper, Figure 5 left): two 3x3 convolutions."""
    x = g.conv(0, c_out, kernel=3, stride=stride, act="relu")
    _add_shortcut(g, g.conv(x, c_out, kernel=3), stride)


@unit("regnet")
def regnet_unit(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    groups: Count = 1,
    stride: int = 1,
    se: Count = 0,
) -> None:
    """RegNet's X block, and with `se` its Y block (RegNet paper, Figure 4, and section 5): 1x1,
    3x3 in `groups`, squeeze-and-excitation with `se` hidden channels, 1x1."""
    x = g.conv(0, c_out, act="relu")
    x = g.conv(x, c_out, kernel=3, stride=stride, groups=groups, act="relu")
    if np.any(se):
        x = squeeze_excite(g, x, se)
    _add_shortcut(g, g.conv(x, c_out), stride)


@unit("squeezenet_stem")
def squeezenet_stem(g: GraphBuilder, *, c_in: Count = 3, c_out: Count) -> None:
    """3x3 convolution of stride 2 without padding, ReLU, max-pool."""
    x = raw_conv(g, 0, c_out, kernel=3, stride=2, norm="bias", act="relu", valid=1)
    g.pool(x, "maxpool", kernel=3, stride=2, valid=1)


@unit("fire")
def fire(g: GraphBuilder, *, c_in: Count, squeeze: Count, c_out: Count, pool: int = 0) -> None:
    """SqueezeNet's Fire module (SqueezeNet paper, Figure 1): 1x1 to `squeeze`; half of `c_out` by
    a 1x1, half by a 3x3 convolution, concatenated. `pool`: then the max-pool between stages."""
    if np.any(np.remainder(c_out, 2)):
        raise ValueError(f"a Fire module halves its channels; got {c_out}")
    half = c_out // 2
    x = raw_conv(g, 0, squeeze, norm="bias", act="relu")
    one = raw_conv(g, x, half, norm="bias", act="relu")
    y = g.concat((one, raw_conv(g, x, half, kernel=3, norm="bias", act="relu")))
    if pool:
        g.pool(y, "maxpool", kernel=3, stride=2, valid=1)


@unit("squeezenet_head")
def squeezenet_head(g: GraphBuilder, *, c_in: Count, classes: Count = 1000) -> None:
    """1x1 convolution to the classes, ReLU, global average pool."""
    x = raw_conv(g, 0, classes, norm="bias", act="relu")
    g.op("flatten", (g.pool(x, "globalpool"),), classes)
