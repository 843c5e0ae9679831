"""Random networks of every family, for measuring and validating tables.

Those of the search space are sampled uniformly. Those of the paper's other families get random
widths: each stage draws its own, log-uniformly between those of the smallest and the largest
published network of its family (ResNet: an eighth of ResNet-50 to half of it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from latency.table.header import TableHeader
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block
from space.network.network import Network, NetworkBuilder
from space.zoo.families import MOBILENET_V1, MOBILENET_V2, SHUFFLENET_V1, STAGE_DEPTHS
from space.zoo.networks import RESNET_DEPTHS, XCEPTION

SPACE = "shufflenet_v2"  # the family of the search space

Draw: TypeAlias = "np.random.Generator | _Bound"


class _Bound:
    """Draws every width at its least (`at` 0) or its greatest (1)."""

    def __init__(self, at: int) -> None:
        self.at = at

    def uniform(self, low: float, high: float) -> float:
        return high if self.at else low


def _width(rng: Draw, low: float, high: float, step: int) -> int:
    """A multiple of `step` between the bounds, themselves rounded to one."""
    first, last = max(1, round(low / step)), max(1, round(high / step))
    return step * round(float(np.exp(rng.uniform(np.log(first), np.log(last)))))


def _shufflenet_v1(chain: NetworkBuilder, rng: Draw, groups: int = 3) -> None:
    """Multiples of 12 suit 3 groups inside a unit, whose bottleneck is a quarter as wide; of 4,
    one group."""
    v1 = [widths[0] for _, widths in SHUFFLENET_V1.values()]
    known = v1 if groups == 3 else XCEPTION.values()  # widths of stage 2
    chain.add("stem", c_out=_width(rng, 12, 48, 12))
    for stage, depth in enumerate(STAGE_DEPTHS):
        c_out = _width(rng, min(known) << stage, max(known) << stage, 4 * groups)
        c_out = max(c_out, chain.shape[0] + 4 * groups)
        for index in range(depth):
            fields = {"c_out": c_out, "groups": groups, "stride": 2 - (index > 0)}
            chain.add("shufflenet_v1", **fields, first=int(groups == 3 and stage == index == 0))
    chain.add("classifier")


def _xception(chain: NetworkBuilder, rng: Draw) -> None:
    _shufflenet_v1(chain, rng, groups=1)


def _mobilenet_v1(chain: NetworkBuilder, rng: Draw) -> None:
    chain.add("stem", c_out=_width(rng, 8, 32, 4), pool=0)
    c_out = 0
    for channels, stride in MOBILENET_V1:
        if stride == 2 or channels in (64, 1024):
            c_out = _width(rng, channels / 4, channels, 4)
        chain.add("separable", c_out=c_out, stride=stride)
    chain.add("classifier")


def _mobilenet_v2(chain: NetworkBuilder, rng: Draw) -> None:
    chain.add("stem", c_out=_width(rng, 8, 48, 4), pool=0, relu6=1)
    for expansion, channels, repeats, stride in MOBILENET_V2:
        c_out = _width(rng, 0.3 * channels, 1.4 * channels, 4)
        for index in range(repeats):
            step = stride if index == 0 else 1
            if step == 1 and not index and chain.shape[0] == c_out:
                c_out += 4  # equal by chance: the published networks have no shortcut here
            residual = int(step == 1 and index > 0)
            fields = {"c_out": c_out, "expansion": expansion, "stride": step}
            chain.add("inverted_residual", **fields, residual=residual)
    chain.add("head", c_out=_width(rng, 1280, 1792, 64), relu6=1)


def _resnet(chain: NetworkBuilder, rng: Draw) -> None:
    chain.add("resnet_stem", c_out=_width(rng, 8, 32, 4))
    for stage, depth in enumerate(RESNET_DEPTHS):
        mid = _width(rng, 8 << stage, 32 << stage, 4)
        mid += 4 * (4 * mid == chain.shape[0])  # equal by chance: ResNet-50 widens in each stage
        for index in range(depth):
            stride = 2 if stage and not index else 1
            fields = {"mid": mid, "c_out": 4 * mid, "stride": stride}
            chain.add("bottleneck", **fields, stride_first=int(stride == 2))
    chain.add("classifier")


VARIANTS: dict[str, tuple[str, Callable[[NetworkBuilder, Draw], None]]] = {
    "shufflenet_v1": ("ShuffleNet v1 unit g=3", _shufflenet_v1),
    "xception": ("ShuffleNet v1 unit g=1", _xception),
    "mobilenet_v1": ("MobileNet v1", _mobilenet_v1),
    "mobilenet_v2": ("MobileNet v2", _mobilenet_v2),
    "resnet": ("ResNet-50", _resnet),
}


def _make(family: str, rng: Draw, space: ShuffleNetV2Space) -> Network:
    name, add_blocks = VARIANTS[family]
    chain = NetworkBuilder(f"{name}, random widths", space.height, space.width, space.channels)
    add_blocks(chain, rng)
    *body, last = chain.network().blocks
    fields = {**dict(last.fields), "classes": space.classes}
    return Network(chain.name, (*body, Block(last.kind, last.height, last.width, **fields)))


def random_networks(
    family: str,
    count: int,
    seed: int,
    space: ShuffleNetV2Space | None = None,
    relax: Sequence[str] = (),
) -> list[Network]:
    """`count` networks of a family, for the images and classes of a space.

    Args:
        family: `SPACE`, or a key of `VARIANTS`.
        space: by default that of ImageNet.
        relax: guidelines that networks of the space may break.

    Raises:
        ValueError: an unknown family or guideline, or `relax` with another family than the
            space's.
    """
    space = space or ShuffleNetV2Space()
    if family == SPACE:
        return sample_networks(space.relaxed(relax), count, np.random.default_rng(seed))
    if family not in VARIANTS:
        known = ", ".join((SPACE, *VARIANTS))
        raise ValueError(f"--family must be one of {known}; got {family!r}")
    if relax:
        raise ValueError(f"--relax needs --family {SPACE}; got --family {family}")
    return variants(family, count, seed, space)


def variants(family: str, count: int, seed: int, space: ShuffleNetV2Space) -> list[Network]:
    """`count` networks of a family of `VARIANTS`."""
    rng = np.random.default_rng((seed, list(VARIANTS).index(family)))
    return [_make(family, rng, space) for _ in range(count)]


def space_of(header: TableHeader) -> ShuffleNetV2Space:
    """The search space whose networks a table is for."""
    height, width = header.input_size
    return ShuffleNetV2Space(
        height=height, width=width, channels=header.channels, classes=header.classes
    )


def sample_networks(
    space: ShuffleNetV2Space, count: int, rng: np.random.Generator
) -> list[Network]:
    """`count` networks drawn uniformly from the open choices of a space."""
    return [space.lower(space.architecture(row)) for row in space.sample(count, rng)]


def bounds(family: str, space: ShuffleNetV2Space | None = None) -> list[Network]:
    """The narrowest and the widest network of a family of `VARIANTS`."""
    return [_make(family, _Bound(at), space or ShuffleNetV2Space()) for at in (0, 1)]
