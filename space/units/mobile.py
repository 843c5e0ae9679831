"""The units of MobileNetV3 and V4, EfficientNet, MnasNet, FBNet, PP-LCNet, MobileOne.

Fields are ints, so an activation is a number: the index of its name in `ACTS`.
"""

from __future__ import annotations

import numpy as np

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count
from space.units.basic import squeeze_excite

ACTS = ("relu", "relu6", "hardswish", "silu")
RELU, RELU6, HARDSWISH, SILU = range(len(ACTS))


def named_act(number: int) -> str:
    """The activation of a field `act`; ValueError for an unknown number."""
    if not 0 <= number < len(ACTS):
        known = ", ".join(f"{index} ({name})" for index, name in enumerate(ACTS))
        raise ValueError(f"`act` must be one of {known}; got {number}")
    return ACTS[number]


@unit("mobile_stem")
def mobile_stem(
    g: GraphBuilder, *, c_in: Count = 3, c_out: Count, stride: Count = 2, act: int = RELU
) -> None:
    """3x3 convolution + `act`."""
    g.conv(0, c_out, kernel=3, stride=stride, act=named_act(act))


def _project(g: GraphBuilder, x: int, c_out: Count, name: str, se: Count, residual: int) -> None:
    """Squeeze-and-excitation with `se` hidden channels, 1x1 to `c_out`, the shortcut."""
    if np.any(se):
        silu = name == "silu"
        kinds = {"act": name if silu else "relu", "gate": "sigmoid" if silu else "hardsigmoid"}
        x = squeeze_excite(g, x, se, **kinds)
    x = g.conv(x, c_out)
    if residual:
        g.add(x, 0)


@unit("mbconv")
def mbconv(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    mid: Count,
    kernel: Count = 3,
    stride: Count = 1,
    act: int = RELU,
    se: Count = 0,
    residual: int = 0,
) -> None:
    """Inverted residual with any inner width and activation (MnasNet paper, Figure 7; MobileNetV3
    paper, Figure 4): 1x1 to `mid` + `act`, depthwise + `act`, 1x1 to `c_out`.

    `se`: hidden width of a squeeze-and-excitation before the last 1x1. Its gate and hidden
    activation are EfficientNet's (sigmoid, SiLU) where `act` is SiLU, else MobileNetV3's
    (hard-sigmoid, ReLU). `residual`: with the shortcut.
    """
    name = named_act(act)
    x = g.dwconv(g.conv(0, mid, act=name), kernel=kernel, stride=stride, act=name)
    _project(g, x, c_out, name, se, residual)


@unit("mb_separable")
def mb_separable(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    kernel: Count = 3,
    stride: Count = 1,
    act: int = RELU,
    se: Count = 0,
    residual: int = 0,
) -> None:
    """The first unit of these networks: "mbconv" without its first 1x1."""
    name = named_act(act)
    x = g.dwconv(0, kernel=kernel, stride=stride, act=name)
    _project(g, x, c_out, name, se, residual)


@unit("uib")
def universal_bottleneck(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    mid: Count,
    start: Count = 0,
    kernel: Count = 0,
    stride: int = 1,
    residual: int = 0,
) -> None:
    """MobileNetV4's universal inverted bottleneck (MobileNetV4 paper, Figure 4): depthwise of
    kernel `start` without activation (0: none), 1x1 to `mid` + ReLU, depthwise of `kernel` + ReLU
    (0: none), 1x1 to `c_out`. The last depthwise convolution has the stride."""
    if stride > 1 and not (np.any(start) or np.any(kernel)):
        raise ValueError(f"stride {stride} needs a depthwise convolution: `start` or `kernel`")
    x = 0
    if np.any(start):
        x = g.dwconv(x, kernel=start, stride=1 if np.any(kernel) else stride)
    x = g.conv(x, mid, act="relu")
    if np.any(kernel):
        x = g.dwconv(x, kernel=kernel, stride=stride, act="relu")
    x = g.conv(x, c_out)
    if residual:
        g.add(x, 0)


@unit("lcnet")
def lcnet_unit(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    kernel: Count = 3,
    stride: Count = 1,
    se: Count = 0,
) -> None:
    """PP-LCNet's DepthSepConv (PP-LCNet paper, Figure 2): depthwise + hard-swish, with `se` a
    squeeze-and-excitation as in MobileNetV3, 1x1 + hard-swish."""
    x = g.dwconv(0, kernel=kernel, stride=stride, act="hardswish")
    if np.any(se):
        x = squeeze_excite(g, x, se, gate="hardsigmoid")
    g.conv(x, c_out, act="hardswish")


@unit("mobileone")
def mobileone_deployed(
    g: GraphBuilder, *, c_in: Count, c_out: Count, kernel: Count = 3, stride: Count = 1
) -> None:
    """MobileOne's block at inference (MobileOne paper, Figure 3 right): depthwise + ReLU, 1x1 +
    ReLU, with biases in place of batch norm."""
    x = g.dwconv(0, kernel=kernel, stride=stride, act="relu", norm="bias")
    g.op("conv", (x,), c_out, act="relu", norm="bias")


def _hidden(g: GraphBuilder, x: int, hidden: Count, norm: int, name: str, classes: Count) -> None:
    """Global average pool, with `hidden` a layer of as many channels, classifier."""
    x = g.pool(x, "globalpool")
    if np.any(hidden):
        x = g.conv(x, hidden, act=name) if norm else g.linear(x, hidden, act=name)
    g.linear(x, classes)


@unit("mobile_head")
def mobile_head(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    hidden: Count = 0,
    hidden_norm: int = 0,
    act: int = RELU,
    classes: Count = 1000,
) -> None:
    """1x1 convolution to `c_out` + `act`, global average pool, a layer of `hidden` channels +
    `act` (0: none), classifier.

    The hidden layer is linear with a bias, as in MobileNetV3 (paper, Figure 5), or, with
    `hidden_norm`, a 1x1 convolution with batch norm, as in MobileNetV4.
    """
    name = named_act(act)
    _hidden(g, g.conv(0, c_out, act=name), hidden, hidden_norm, name, classes)


@unit("hidden_classifier")
def hidden_classifier(
    g: GraphBuilder, *, c_in: Count, hidden: Count, act: int = RELU, classes: Count = 1000
) -> None:
    """PP-LCNet's head: "mobile_head" without its first 1x1."""
    _hidden(g, 0, hidden, 0, named_act(act), classes)
