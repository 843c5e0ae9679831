"""The units of GhostNet and RepGhost."""

from __future__ import annotations

import numpy as np

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count
from space.units.basic import squeeze_excite


def _shortcut(g: GraphBuilder, c_out: Count, *, kernel: Count, stride: int) -> int:
    """The input; where shapes change, a depthwise and a 1x1 convolution of it."""
    if stride == 1 and not np.any(g.channels(0) != c_out):
        return 0
    return g.conv(g.dwconv(0, kernel=kernel, stride=stride), c_out)


def _ghost_module(g: GraphBuilder, x: int, c_out: Count, act: str) -> int:
    """Half of the channels by a 1x1 convolution, the others by a depthwise one of these."""
    if np.any(np.remainder(c_out, 2)):
        raise ValueError(f"a Ghost module halves its channels; got {c_out}")
    one = g.conv(x, c_out // 2, act=act)
    return g.concat((one, g.dwconv(one, kernel=3, act=act)))


@unit("ghost")
def ghost_bottleneck(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    mid: Count,
    kernel: Count = 3,
    stride: int = 1,
    se: Count = 0,
) -> None:
    """Ghost bottleneck (GhostNet paper, Figure 3): a Ghost module to `mid` + ReLU, at a stride a
    depthwise convolution, with `se` a squeeze-and-excitation, a Ghost module to `c_out`, added to
    the shortcut."""
    x = _ghost_module(g, 0, mid, "relu")
    if stride > 1:
        x = g.dwconv(x, kernel=kernel, stride=stride)
    if np.any(se):
        x = squeeze_excite(g, x, se, gate="hardsigmoid")
    x = _ghost_module(g, x, c_out, "")
    g.add(x, _shortcut(g, c_out, kernel=kernel, stride=stride))


def _repghost_module(g: GraphBuilder, x: int, c_out: Count, act: str) -> int:
    return g.dwconv(g.conv(x, c_out, act=act), kernel=3, act=act, norm="bias")


@unit("repghost")
def repghost_deployed(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    mid: Count,
    kernel: Count = 3,
    stride: int = 1,
    se: Count = 0,
) -> None:
    """RepGhost bottleneck at inference (RepGhost paper, Figure 4): as the Ghost bottleneck, with
    modules whose depthwise convolution follows the 1x1 convolution and has a bias in place of
    the batch norms of two branches."""
    x = _repghost_module(g, 0, mid, "relu")
    if stride > 1:
        x = g.dwconv(x, kernel=kernel, stride=stride)
    if np.any(se):
        x = squeeze_excite(g, x, se, gate="hardsigmoid")
    x = _repghost_module(g, x, c_out, "")
    g.add(x, _shortcut(g, c_out, kernel=kernel, stride=stride))
