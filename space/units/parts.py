"""Pieces of units that several units of the zoo share."""

from __future__ import annotations

from space.graph.builder import GraphBuilder
from space.graph.op import Count


def raw_conv(
    g: GraphBuilder,
    x: int,
    c_out: Count,
    *,
    kernel: Count = 1,
    stride: Count = 1,
    groups: Count = 1,
    norm: str = "none",
    act: str = "",
) -> int:
    """A convolution with a bias (`norm` "bias") or nothing ("none") instead of batch norm.

    `groups` must divide both widths."""
    fields = {"kernel": kernel, "stride": stride, "groups": groups, "norm": norm, "act": act}
    return g.op("conv", (x,), c_out, **fields)


def batchnorm(g: GraphBuilder, x: int, *, act: str = "") -> int:
    """Batch norm that no convolution before it can absorb."""
    return g.op("batchnorm", (x,), g.channels(x), act=act)


def squeeze_excite(g: GraphBuilder, x: int, hidden: Count) -> int:
    """Squeeze-and-excitation (Hu et al., CVPR 2018, Figure 3): `x` times one number per channel,
    computed from its global average by two linear layers with `hidden` channels in between."""
    channels = g.channels(x)
    pooled = g.pool(x, "globalpool")
    inner = g.op("linear", (pooled,), hidden, act="relu")
    scale = g.op("linear", (inner,), channels, act="sigmoid")
    return g.op("mul", (x, scale), channels)
