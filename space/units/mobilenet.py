"""The units of MobileNet v1 and v2."""

from __future__ import annotations

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count


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
