"""ShuffleNet v1 and v2, MobileNet v1 and v2, at any width."""

from __future__ import annotations

from space.network.network import Network, NetworkBuilder

# Widths of stages 2-4 and of the head: paper, Table 5. Stem 24 and depths 4, 8, 4 for all.
SHUFFLENET_V2 = {
    "0.5": ((48, 96, 192), 1024),
    "1.0": ((116, 232, 464), 1024),
    "1.5": ((176, 352, 704), 1024),
    "2.0": ((244, 488, 976), 2048),
}
STAGE_DEPTHS = (4, 8, 4)


def stages(depths: tuple[int, ...], first_stride: int = 2) -> list[tuple[int, int]]:
    """(stage, stride) of every unit; the first of each later stage halves the map."""
    return [
        (stage, 1 if index else 2 if stage else first_stride)
        for stage, depth in enumerate(depths)
        for index in range(depth)
    ]


def shufflenet_v2(size: str = "1.0", height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v2 of the paper's Table 5; `size` is 0.5, 1.0, 1.5 or 2.0."""
    return shufflenet_v2_like("shufflenet_v2", "ShuffleNet v2 {}x", size, height, width)


def shufflenet_v2_released(size: str = "1.0", height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v2 as its authors released it. In a unit of stride 2 the projection keeps the
    channels of the input and the branch computes the others; its inner width is half the unit's.
    At 0.5x widths double from unit to unit, so that it is `shufflenet_v2`."""
    widths, last = _size(SHUFFLENET_V2, size, "ShuffleNet v2")
    builder = NetworkBuilder(f"ShuffleNet v2 {size}x released", height, width)
    builder.add("stem", c_out=24)
    for stage, stride in stages(STAGE_DEPTHS):
        c_out = widths[stage]
        branch = c_out - builder.shape[0] if stride == 2 else c_out // 2
        inner = {} if branch == c_out // 2 else {"mid": c_out // 2}
        builder.add("shufflenet_v2", c_out=c_out, branch=branch, stride=stride, **inner)
    builder.add("head", c_out=last)
    return builder.network()


def shufflenet_v2_like(
    kind: str, name: str, size: str, height: int, width: int, *, se: bool = False, **fields: int
) -> Network:
    """A network in the frame of Table 5, of units of `kind` with these fields.

    `se`: with a squeeze-and-excitation of half the channels at the end of each unit."""
    widths, last = _size(SHUFFLENET_V2, size, "ShuffleNet v2")
    builder = NetworkBuilder(name.format(size), height, width)
    builder.add("stem", c_out=24)
    for stage, stride in stages(STAGE_DEPTHS):
        c_out = widths[stage]
        fields |= {"se": c_out // 2} if se else {}
        builder.add(kind, c_out=c_out, branch=c_out // 2, stride=stride, **fields)
    builder.add("head", c_out=last)
    return builder.network()


# Stem and stage widths at g = 3: ShuffleNet v1 paper, Table 1 (1x), scaled; the stem scales except
# at 1.5x. Counted FLOPs agree with the v2 paper's Table 8 (tests/space/network/test_network.py).
SHUFFLENET_V1 = {
    "0.5": (12, (120, 240, 480)),
    "1.0": (24, (240, 480, 960)),
    "1.5": (24, (360, 720, 1440)),
    "2.0": (48, (480, 960, 1920)),
}


def shufflenet_v1(size: str = "1.0", height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v1 with 3 groups; `size` is 0.5, 1.0, 1.5 or 2.0."""
    stem, widths = _size(SHUFFLENET_V1, size, "ShuffleNet v1")
    builder = NetworkBuilder(f"ShuffleNet v1 {size}x g=3", height, width)
    builder.add("stem", c_out=stem)
    for index, (stage, stride) in enumerate(stages(STAGE_DEPTHS)):
        builder.add("shufflenet_v1", c_out=widths[stage], stride=stride, first=int(index == 0))
    builder.add("classifier")
    return builder.network()


# (c_out, stride) of the separable units: MobileNet paper, Table 1.
MOBILENET_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5,
    (1024, 2), (1024, 1),
)  # fmt: skip


def mobilenet_v1(width_multiplier: float = 1.0, height: int = 224, width: int = 224) -> Network:
    """MobileNet v1; every width of the paper's Table 1 times `width_multiplier`."""
    builder = NetworkBuilder(f"MobileNet v1 {width_multiplier:g}", height, width)
    builder.add("stem", c_out=int(32 * width_multiplier), pool=0)
    for c_out, stride in MOBILENET_V1:
        builder.add("separable", c_out=int(c_out * width_multiplier), stride=stride)
    builder.add("classifier")
    return builder.network()


# (expansion, c_out, repeats, stride of the first): MobileNet v2 paper, Table 2.
MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def round_channels(exact: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to a scaled width, at least one, never 10 % below it: the
    rounding of the MobileNet v2 authors and of networks after it."""
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor * (rounded < 0.9 * exact)


def mobilenet_v2(width_multiplier: float = 1.0, height: int = 224, width: int = 224) -> Network:
    """MobileNet v2. Widths are rounded to multiples of 8, never by more than 10 % down; the last
    1x1 convolution has 1280 channels, more only above multiplier 1 (paper, section 6.1)."""

    def scaled(channels: int) -> int:
        return round_channels(channels * width_multiplier)

    builder = NetworkBuilder(f"MobileNet v2 {width_multiplier:g}", height, width)
    builder.add("stem", c_out=scaled(32), pool=0, relu6=1)
    for expansion, channels, repeats, stride in MOBILENET_V2:
        c_out = scaled(channels)
        for index in range(repeats):
            step = stride if index == 0 else 1
            residual = int(step == 1 and builder.shape[0] == c_out)
            fields = {"expansion": expansion, "stride": step, "residual": residual}
            builder.add("inverted_residual", c_out=c_out, **fields)
    last = scaled(1280) if width_multiplier > 1 else 1280
    builder.add("head", c_out=last, relu6=1)
    return builder.network()


def _size(sizes: dict[str, tuple], size: str, family: str) -> tuple:
    if size not in sizes:
        raise ValueError(f"{family} comes in {', '.join(sizes)}; got {size!r}")
    return sizes[size]
