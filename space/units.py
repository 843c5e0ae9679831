"""The units that networks are made of, each lowered here and nowhere else.

A unit takes a `Graph` that holds the block's input and adds its steps. Fields are ints, or int
arrays [n] where a field does not decide which steps there are. Units that only networks of the
zoo have stand in `space.units_shufflenet` and `space.units_classic`.
"""

from __future__ import annotations

import numpy as np

from space.block import Graph, unit
from space.op import Count


def even_share(value: Count, numerator: int, denominator: int) -> Count:
    """The even number nearest to value * numerator / denominator, at least 2; ties go down.

    Odd widths never pay on vector units, and halves of a multiple of 4 stay exact.
    """
    doubled = 2 * denominator
    nearest = (value * numerator + denominator - 1) // doubled * 2
    return nearest + 2 * (nearest < 2)


@unit("conv")
def conv(
    g: Graph,
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
    g: Graph, *, c_in: Count, c_out: Count, fragments: int, serial: int = 0
) -> None:
    """The blocks of the paper's Table 3 (appendix Figure 1): 1x1 convolutions in sequence, or in
    parallel and added."""
    if fragments < 1:
        raise ValueError(f"`fragments` must be at least 1; got {fragments}")
    values: list[int] = []
    for index in range(fragments):
        source = values[-1] if serial and index else 0
        values.append(g.conv(source, c_out, act="relu"))
    total = values[0]
    for value in () if serial else values[1:]:
        total = g.add(total, value)


@unit("stem")
def stem(
    g: Graph, *, c_in: Count = 3, c_out: Count, pool: int = 1, relu6: int = 0, stride: int = 2
) -> None:
    """3x3 convolution of stride 2, then 3x3 max-pool of stride 2 (paper, Table 5) if `pool`.

    Stride 1 is for small inputs: see `space.small`."""
    x = g.conv(0, c_out, kernel=3, stride=stride, act="relu6" if relu6 else "relu")
    if pool:
        g.pool(x, "maxpool", kernel=3, stride=2)


@unit("head")
def head(g: Graph, *, c_in: Count, c_out: Count, classes: Count = 1000, relu6: int = 0) -> None:
    """1x1 convolution, global average pool, classifier (paper, Table 5)."""
    x = g.conv(0, c_out, act="relu6" if relu6 else "relu")
    g.linear(g.pool(x, "globalpool"), classes)


@unit("classifier")
def classifier(g: Graph, *, c_in: Count, classes: Count = 1000) -> None:
    """Global average pool and classifier."""
    g.linear(g.pool(0, "globalpool"), classes)


@unit("shufflenet_v2")
def shufflenet_v2(
    g: Graph,
    *,
    c_in: Count,
    c_out: Count,
    branch: Count,
    kernel: Count = 3,
    stride: int = 1,
    groups: Count = 1,
    mid: Count = 0,
    fragments: int = 1,
    serial: int = 0,
    residual: int = 0,
    extra_relu: int = 0,
) -> None:
    """ShuffleNet v2 unit (paper, Figure 3 c and d), with any split.

    Stride 1: the last `branch` channels go through the branch, the others pass. Stride 2: the
    branch makes `branch` channels of all the input, the projection makes the others.

    The remaining fields each break a guideline, for ablations: `mid` channels inside the branch
    (0: as many as `branch`; G1), `groups` of the 1x1 convolutions (G2), `fragments` bodies of
    mid / fragments channels each, in parallel and added, or in sequence if `serial` (G3, equal
    FLOPs as in Table 3), `residual` adds the branch's input and `extra_relu` a ReLU after the
    concatenation (G4, as in ShuffleNet v1).
    """
    if fragments < 1:
        raise ValueError(f"`fragments` must be at least 1; got {fragments}")
    if stride == 1:
        if np.any(c_in != c_out):
            raise ValueError(f"a unit of stride 1 keeps its channels; got {c_in} -> {c_out}")
        passing = g.slice(0, 0, c_in - branch)
        active = g.slice(0, c_in - branch, branch)
    else:
        x = g.dwconv(0, kernel=kernel, stride=stride)
        passing = g.conv(x, c_out - branch, groups=groups, act="relu")
        active = 0
    inside = np.where(mid, mid, branch) if np.ndim(mid) else mid or branch
    inside = inside if fragments == 1 else even_share(inside, 1, fragments)

    def body(x: int, stride: int) -> int:
        x = g.conv(x, inside, groups=groups, act="relu")
        x = g.dwconv(x, kernel=kernel, stride=stride)
        return g.conv(x, branch, groups=groups, act="relu")

    y = body(active, stride)
    for _ in range(fragments - 1):
        y = body(y, 1) if serial else g.add(y, body(active, stride))
    if residual and stride == 1:
        y = g.add(active, y)
    y = g.concat((passing, y), shuffle=2)
    if extra_relu:
        g.relu(y)


@unit("shufflenet_v1")
def shufflenet_v1(
    g: Graph,
    *,
    c_in: Count,
    c_out: Count,
    groups: int = 3,
    stride: int = 1,
    first: int = 0,
) -> None:
    """ShuffleNet v1 unit (v1 paper, Figure 2 b and c; bottleneck ratio 1/4).

    `first`: the first unit of stage 2, whose first 1x1 convolution is not grouped.
    """
    mid = c_out // 4
    x = g.conv(0, mid, groups=1 if first else groups, act="relu")
    if groups > 1:
        x = g.shuffle(x, groups)
    x = g.dwconv(x, kernel=3, stride=stride)
    if stride == 1:
        g.relu(g.add(0, g.conv(x, c_out, groups=groups)))
    else:
        shortcut = g.pool(0, "avgpool", kernel=3, stride=stride)
        g.relu(g.concat((shortcut, g.conv(x, c_out - c_in, groups=groups))))


@unit("separable")
def separable(
    g: Graph, *, c_in: Count, c_out: Count, kernel: Count = 3, stride: Count = 1
) -> None:
    """MobileNet v1 unit: depthwise + ReLU, 1x1 + ReLU (MobileNet paper, Figure 3)."""
    x = g.dwconv(0, kernel=kernel, stride=stride, act="relu")
    g.conv(x, c_out, act="relu")


@unit("inverted_residual")
def inverted_residual(
    g: Graph,
    *,
    c_in: Count,
    c_out: Count,
    expansion: int = 6,
    kernel: Count = 3,
    stride: int = 1,
    residual: int = 0,
) -> None:
    """MobileNet v2 unit (MobileNet v2 paper, Figure 4 d). `residual` asks for the shortcut."""
    x = 0 if expansion == 1 else g.conv(0, c_in * expansion, act="relu6")
    x = g.dwconv(x, kernel=kernel, stride=stride, act="relu6")
    x = g.conv(x, c_out)
    if residual:
        g.add(0, x)
