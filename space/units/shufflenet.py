"""The units of ShuffleNet v1 and v2, and of the larger networks of the v2 paper."""

from __future__ import annotations

import numpy as np

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Count
from space.units.basic import check_fragments, even_share, squeeze_excite


def _split(
    g: GraphBuilder,
    c_out: Count,
    branch: Count,
    *,
    kernel: Count,
    stride: int,
    groups: Count,
    project: bool,
) -> tuple[int, int]:
    """The input of the branch, and what is concatenated to its output: a projection of the input,
    or the channels that pass."""
    c_in = g.channels(0)
    if project:
        x = g.dwconv(0, kernel=kernel, stride=stride)
        return 0, g.conv(x, c_out - branch, groups=groups, act="relu")
    if np.any(c_in != c_out):
        raise ValueError(f"a unit that passes channels keeps its channels; got {c_in} -> {c_out}")
    passing = g.slice(0, 0, c_in - branch)
    return g.slice(0, c_in - branch, branch), passing


@unit("shufflenet_v2")
def shufflenet_v2_unit(
    g: GraphBuilder,
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
    branch computes `branch` channels from the full input, the projection computes the others.

    Each of the other fields breaks a guideline, for ablations: `mid` channels inside the branch
    (0: equal to `branch`; G1), `groups` of the 1x1 convolutions (G2), `fragments` bodies of
    mid / fragments channels each, in parallel and added, or in sequence if `serial` (G3, equal
    FLOPs as in Table 3), `residual` adds the branch's input, `extra_relu` adds a ReLU after the
    concatenation (G4, as in ShuffleNet v1).
    """
    check_fragments(fragments)
    active, passing = _split(
        g, c_out, branch, kernel=kernel, stride=stride, groups=groups, project=stride > 1
    )
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


@unit("shufflenet_v2_variant")
def shufflenet_v2_variant(
    g: GraphBuilder,
    *,
    c_in: Count,
    c_out: Count,
    branch: Count,
    stride: int = 1,
    project: int = 0,
    receptive: int = 0,
    se: Count = 0,
    se_branch: Count = 0,
    residual: int = 0,
) -> None:
    """ShuffleNet v2 unit with the additions of section 4.2 and the appendix of the paper.

    Units of stride 2, and of stride 1 if `project`, have a projection beside the branch; the
    others pass c_out - branch channels. `receptive`: 3x3 depthwise convolution (batch norm, no
    ReLU) before the first 1x1 of the branch (v2*). `se`, `se_branch`: hidden width of a
    squeeze-and-excitation of the unit's output, or of the branch. `residual`: the branch ends in
    an addition and a ReLU (appendix, Figure 2), or in the ReLU only where it has a projection.
    """
    active, other = _split(
        g, c_out, branch, kernel=3, stride=stride, groups=1, project=stride > 1 or project > 0
    )
    x = g.dwconv(active, kernel=3) if receptive else active
    x = g.conv(x, branch, act="relu")
    x = g.dwconv(x, kernel=3, stride=stride)
    relu_last = bool(residual or se_branch)
    x = g.conv(x, branch, act="" if relu_last else "relu")
    if np.any(se_branch):
        x = squeeze_excite(g, x, se_branch)
    if residual and active:
        x = g.add(active, x)
    if relu_last:
        x = g.relu(x)
    x = g.concat((other, x), shuffle=2)
    if np.any(se):
        squeeze_excite(g, x, se)


@unit("shufflenet_v1")
def shufflenet_v1_unit(
    g: GraphBuilder,
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


@unit("shufflenet_v1_wide")
def shufflenet_v1_wide(
    g: GraphBuilder, *, c_in: Count, c_out: Count, mid: Count, groups: int = 3, stride: int = 1
) -> None:
    """ShuffleNet v1 unit with `mid` channels inside.

    A unit that widens at stride 1 (the v1 paper has none) concatenates its input as at stride 2,
    without pooling. Its last 1x1 convolution has 4 groups where 3 do not divide its channels.
    """
    x = g.shuffle(g.conv(0, mid, groups=groups, act="relu"), groups)
    x = g.dwconv(x, kernel=3, stride=stride)
    if stride == 1 and not np.any(c_in != c_out):
        g.relu(g.add(0, g.conv(x, c_out, groups=groups)))
        return
    shortcut = g.pool(0, "avgpool", kernel=3, stride=stride) if stride > 1 else 0
    more = c_out - c_in
    divides = not np.any(more % groups)
    y = g.conv(x, more, groups=groups if divides else groups + 1)
    g.relu(g.concat((shortcut, y)))
