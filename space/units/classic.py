"""The units of ResNet and SENet, DenseNet, GoogLeNet, RepVGG, MobileNet v1 and v2."""

from __future__ import annotations

import numpy as np

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count
from space.units.basic import batchnorm, raw_conv, squeeze_excite


@unit("resnet_stem")
def resnet_stem(g: GraphBuilder, *, c_in: Count = 3, c_out: Count) -> None:
    """7x7 convolution of stride 2 and max-pool (ResNet paper, Table 1)."""
    g.pool(g.conv(0, c_out, kernel=7, stride=2, act="relu"), "maxpool", kernel=3, stride=2)


@unit("deep_stem")
def deep_stem(g: GraphBuilder, *, c_in: Count = 3, mid: Count, c_out: Count) -> None:
    """Three 3x3 convolutions, the first of stride 2, and max-pool (SENet-154;
    SE-ShuffleNet v2-164)."""
    x = g.conv(0, mid, kernel=3, stride=2, act="relu")
    x = g.conv(x, mid, kernel=3, act="relu")
    g.pool(g.conv(x, c_out, kernel=3, act="relu"), "maxpool", kernel=3, stride=2)


@unit("bottleneck")
def bottleneck(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    mid: Count,
    inner: int = 0,
    groups: Count = 1,
    stride: int = 1,
    stride_first: int = 0,
    shortcut_kernel: int = 1,
    se: Count = 0,
    relu: int = 1,
    shortcut: int = 1,
) -> None:
    """ResNet bottleneck (ResNet paper, Figure 5 right), ResNeXt's and SENet's.

    1x1 to `mid`, 3x3 in `groups` to `inner` (0: `mid`), 1x1 to `c_out`. The 3x3 has the stride,
    or the 1x1 before it if `stride_first`, as in the ResNet paper. The shortcut is a convolution
    where shapes change. `se`: hidden width of a squeeze-and-excitation. `relu` 0 and `shortcut` 0
    leave out ReLUs and shortcut, for Table 4 of the ShuffleNet v2 paper.
    """
    first, second = (stride, 1) if stride_first else (1, stride)
    act = "relu" if relu else ""
    last = "" if shortcut or np.any(se) else act
    x = g.conv(0, mid, stride=first, act=act)
    x = g.conv(x, inner or mid, kernel=3, stride=second, groups=groups, act=act)
    x = g.conv(x, c_out, act=last)
    if np.any(se):
        x = squeeze_excite(g, x, se)
    if shortcut:
        changes = stride != 1 or bool(np.any(c_in != c_out))
        y = g.conv(0, c_out, kernel=shortcut_kernel, stride=stride) if changes else 0
        x = g.add(y, x)
    if act != last:
        g.relu(x)


@unit("dense_layer")
def dense_layer(g: GraphBuilder, *, c_in: Count, growth: Count, bottleneck: int = 4) -> None:
    """DenseNet-B layer (DenseNet paper, section 3): batch norm and ReLU before each
    convolution, 1x1 to `bottleneck` x `growth`, 3x3 to `growth`, concatenated to the input."""
    x = g.conv(batchnorm(g, 0, act="relu"), bottleneck * growth, act="relu")
    g.concat((0, raw_conv(g, x, growth, kernel=3)))


@unit("dense_transition")
def dense_transition(g: GraphBuilder, *, c_in: Count, c_out: Count) -> None:
    """DenseNet's transition between dense blocks: 1x1 convolution, 2x2 average pool."""
    x = raw_conv(g, batchnorm(g, 0, act="relu"), c_out)
    g.pool(x, "avgpool", kernel=2, stride=2)


@unit("dense_classifier")
def dense_classifier(g: GraphBuilder, *, c_in: Count, classes: Count = 1000) -> None:
    """Batch norm, ReLU, global average pool, classifier."""
    g.linear(g.pool(batchnorm(g, 0, act="relu"), "globalpool"), classes)


@unit("inception")
def inception(
    g: GraphBuilder,
    *,
    c_in: Count,
    c1: Count,
    reduce3: Count,
    c3: Count,
    reduce5: Count,
    c5: Count,
    pool: Count,
    kernel5: Count = 5,
) -> None:
    """GoogLeNet's module (GoogLeNet paper, Figure 2 b), with batch norm. The columns of its
    Table 1 in their order. `kernel5` is 3 in torchvision, as in TensorFlow's weights."""
    one = g.conv(0, c1, act="relu")
    three = g.conv(g.conv(0, reduce3, act="relu"), c3, kernel=3, act="relu")
    five = g.conv(g.conv(0, reduce5, act="relu"), c5, kernel=kernel5, act="relu")
    pooled = g.conv(g.pool(0, "maxpool", kernel=3, stride=1), pool, act="relu")
    g.concat((one, three, five, pooled))


@unit("repvgg")
def repvgg(g: GraphBuilder, *, c_in: Count, c_out: Count, stride: int = 1) -> None:
    """RepVGG block in training (RepVGG paper, Figure 2 b): 3x3, 1x1 and, where shapes stay, the
    identity, each with batch norm, added; ReLU."""
    x = g.add(g.conv(0, c_out, kernel=3, stride=stride), g.conv(0, c_out, stride=stride))
    if stride == 1 and not np.any(c_in != c_out):
        x = g.add(x, batchnorm(g, 0))
    g.relu(x)


@unit("repvgg_deployed")
def repvgg_deployed(g: GraphBuilder, *, c_in: Count, c_out: Count, stride: int = 1) -> None:
    """The re-parameterised RepVGG block: one 3x3 convolution with bias; ReLU."""
    raw_conv(g, 0, c_out, kernel=3, stride=stride, norm="bias", act="relu")


@unit("separable")
def separable(
    g: GraphBuilder, *, c_in: Count, c_out: Count, kernel: Count = 3, stride: Count = 1
) -> None:
    """MobileNet v1 unit: depthwise + ReLU, 1x1 + ReLU (MobileNet paper, Figure 3)."""
    x = g.dwconv(0, kernel=kernel, stride=stride, act="relu")
    g.conv(x, c_out, act="relu")


@unit("inverted_residual")
def inverted_residual(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    expansion: int = 6,
    kernel: Count = 3,
    stride: int = 1,
    residual: int = 0,
) -> None:
    """MobileNet v2 unit (MobileNet v2 paper, Figure 4 d). `residual`: with the shortcut."""
    x = 0 if expansion == 1 else g.conv(0, c_in * expansion, act="relu6")
    x = g.dwconv(x, kernel=kernel, stride=stride, act="relu6")
    x = g.conv(x, c_out)
    if residual:
        g.add(0, x)
