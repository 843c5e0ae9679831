"""Units of several networks: single convolutions, stem, head, classifier; pieces of units.

A unit takes a `GraphBuilder` with the block's input and adds its steps. Fields are ints, or int
arrays [n] where a field does not change which steps there are.
"""

from __future__ import annotations

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count

MOST_FRAGMENTS = 64  # the paper has 4


def even_share(value: Count, numerator: Count, denominator: int) -> Count:
    """The even number nearest to value * numerator / denominator, at least 2; ties go down.

    Vector units waste part of an odd width; halves of a multiple of 4 are exact.
    """
    doubled = 2 * denominator
    nearest = (value * numerator + denominator - 1) // doubled * 2
    return nearest + 2 * (nearest < 2)


def check_fragments(fragments: int) -> None:
    """Refuse a number of bodies that no unit has."""
    if fragments < 1:
        raise ValueError(f"`fragments` must be at least 1; got {fragments}")
    if fragments > MOST_FRAGMENTS:
        raise ValueError(f"`fragments` must be at most {MOST_FRAGMENTS}; got {fragments}")


def raw_conv(
    g: GraphBuilder,
    x: int,
    c_out: Count,
    *,
    kernel: Count = 1,
    stride: Count = 1,
    norm: str = "none",
    act: str = "",
    valid: int = 0,
) -> int:
    """A convolution with a bias (`norm` "bias") or nothing ("none") instead of batch norm."""
    fields = {"kernel": kernel, "stride": stride, "norm": norm, "act": act, "valid": valid}
    return g.op("conv", (x,), c_out, **fields)


def batchnorm(g: GraphBuilder, x: int, *, act: str = "") -> int:
    """Batch norm that no convolution before it can absorb."""
    return g.op("batchnorm", (x,), g.channels(x), act=act)


def squeeze_excite(
    g: GraphBuilder, x: int, hidden: Count, *, act: str = "relu", gate: str = "sigmoid"
) -> int:
    """Squeeze-and-excitation (Hu et al., CVPR 2018, Figure 3): `x` times one number per channel,
    computed from its global average by two linear layers with `hidden` channels in between, the
    first with `act`, the second with `gate`."""
    channels = g.channels(x)
    inner = g.linear(g.pool(x, "globalpool"), hidden, act=act)
    scale = g.linear(inner, channels, act=gate)
    return g.op("mul", (x, scale), channels)


@unit("conv")
def conv(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    kernel: Count = 1,
    stride: Count = 1,
    groups: Count = 1,
) -> None:
    """One convolution + ReLU: the blocks of the paper's Tables 1 and 2."""
    g.conv(0, c_out, kernel=kernel, stride=stride, groups=groups, act="relu")


@unit("pointwise_fragments")
def pointwise_fragments(
    g: GraphBuilder, *, c_in: Count, c_out: Count, fragments: int, serial: int = 0
) -> None:
    """The blocks of the paper's Table 3 (appendix Figure 1): 1x1 convolutions in sequence, or in
    parallel and added."""
    check_fragments(fragments)
    values: list[int] = []
    for index in range(fragments):
        source = values[-1] if serial and index else 0
        values.append(g.conv(source, c_out, act="relu"))
    total = values[0]
    for value in () if serial else values[1:]:
        total = g.add(total, value)


@unit("stem")
def stem(
    g: GraphBuilder,
    *,
    c_in: Count = 3,
    c_out: Count,
    pool: int = 1,
    relu6: int = 0,
    stride: int = 2,
) -> None:
    """3x3 convolution of stride 2, then 3x3 max-pool of stride 2 (paper, Table 5) if `pool`.

    Stride 1 is for small inputs: see `space.network.resize`."""
    x = g.conv(0, c_out, kernel=3, stride=stride, act="relu6" if relu6 else "relu")
    if pool:
        g.pool(x, "maxpool", kernel=3, stride=2)


@unit("head")
def head(
    g: GraphBuilder, *, c_in: Count, c_out: Count, classes: Count = 1000, relu6: int = 0
) -> None:
    """1x1 convolution, global average pool, classifier (paper, Table 5)."""
    x = g.conv(0, c_out, act="relu6" if relu6 else "relu")
    g.linear(g.pool(x, "globalpool"), classes)


@unit("classifier")
def classifier(g: GraphBuilder, *, c_in: Count, classes: Count = 1000) -> None:
    """Global average pool and classifier."""
    g.linear(g.pool(0, "globalpool"), classes)
