"""The speeds that a published table is fitted to, as blocks with their time and its uncertainty.

Table 8 is not among them: `held_out` returns its networks, to validate a fit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import sqrt

from latency.paper_model.cases import BLOCKS, make_cases, printed_speed
from latency.paper_model.paper_speeds import APPENDIX_1A, APPENDIX_1B, PAPER_SPEEDS
from space.network.block import Block, Chain
from space.network.network import Network
from space.zoo.catalog import PAPER_NETWORKS
from space.zoo.families import mobilenet_v2, shufflenet_v1, shufflenet_v2

FAMILIES = {1: "1x1 ratios", 2: "1x1 groups", 3: "1x1 fragments"}

# The networks of Table 8 at each level of complexity of appendix 1a: size of the ShuffleNets, and
# multiplier and input of MobileNet v2. Of MobileNet v2 the paper has two of 40M and two of 140M;
# docs/reference/published-tables.md explains the choice.
LEVELS = {
    40: ("0.5", 0.4, " 160x160"),
    140: ("1.0", 0.75, " 192x192"),
    300: ("1.5", 1.0, ""),
    500: ("2.0", 1.4, ""),
}


@dataclass(frozen=True, slots=True)
class FitRow:
    """One measured speed, of `repeats` x `blocks`.

    `precision`: relative standard deviation of the printed rounding. `uncertainty`: relative
    standard deviation of the work, where the paper leaves it open. `is_network`: `blocks` are a
    network with its own global pooling.
    """

    table: str
    family: str
    measured_s: float
    precision: float
    blocks: Chain
    repeats: int = BLOCKS
    batch: int = 1
    uncertainty: float = 0.0
    is_network: bool = False


def _speed(printed: str) -> tuple[float, float]:
    """Seconds, and relative standard deviation from the printed rounding: an error that is uniform
    over a step has deviation step / sqrt(12)."""
    seconds, half_step = printed_speed(printed)
    return seconds, half_step / sqrt(3)


def _microbenchmarks(target: str) -> Iterator[FitRow]:
    """Tables 1-3. Table 4 is not fitted to: the paper does not state its sizes."""
    for case in make_cases(target):
        if case.table in FAMILIES:
            blocks = case.unit
            if case.table == 2:  # 180 channels in 8 groups: 176 -> 176 and 184 -> 184
                blocks = tuple(
                    Block("conv", b.height, b.width, c_in=b.c_in, c_out=b.c_in, groups=b["groups"])
                    for b in blocks
                )
            table, family, speed = str(case.table), FAMILIES[case.table], _speed(case.printed)
            yield FitRow(table, family, *speed, blocks, case.repeats)


def _at_level(family: str, level: int, height: int, width: int) -> tuple[str, Network]:
    """The row of Table 8 with this complexity, and its network at another input size."""
    size, multiplier, pixels = LEVELS[level]
    if family == "MobileNet v2":
        return f"{family} {multiplier}{pixels}", mobilenet_v2(multiplier, height, width)
    if family == "ShuffleNet v1":
        return f"{family} {size}x g=3", shufflenet_v1(size, height, width)
    return f"{family} {size}x", shufflenet_v2(size, height, width)


def _appendix_1a(target: str) -> Iterator[FitRow]:
    for (family, height, width), (gpu, arm) in APPENDIX_1A.items():
        speeds = (arm if target == "arm" else gpu).split()
        for level, printed in zip(LEVELS, speeds, strict=True):
            known, network = _at_level(family, level, height, width)
            yield FitRow(
                "1a",
                family,
                *_speed(printed),
                network.blocks,
                repeats=1,
                batch=8 if (target, level, height) == ("gpu", 40, 320) else 1,
                uncertainty=abs(
                    PAPER_NETWORKS[known]().flops / (PAPER_SPEEDS[known][0] * 1e6) - 1.0
                ),
                is_network=True,
            )


def _unit(family: str, size: int, c: int) -> Block:
    """The unit of `family` with about the FLOPs of a ShuffleNet v2 unit of `c` channels."""

    def unit(width: int) -> Block:
        fields = {"c_in": width, "c_out": width}
        if family == "ShuffleNet v1":
            return Block("shufflenet_v1", size, size, **fields)
        return Block("inverted_residual", size, size, residual=1, **fields)

    model = Block("shufflenet_v2", size, size, c_in=c, c_out=c, branch=c // 2)
    if family == "ShuffleNet v2":
        return model
    step = 12 if family == "ShuffleNet v1" else 1  # c / 4 divides by 3 groups
    widths = range(step, 4 * c, step)
    above = bisect_left(widths, model.flops, key=lambda width: unit(width).flops)
    near = [unit(width) for width in widths[above - 1 : above + 1]]
    return min(near, key=lambda block: abs(block.flops - model.flops))


def _appendix_1b() -> Iterator[FitRow]:
    for (family, size), speeds in APPENDIX_1B.items():
        for c, printed in zip((64, 128, 256), speeds, strict=True):
            yield FitRow("1b", family, *_speed(printed), (_unit(family, size, c),))


@cache
def fit_rows(target: str) -> tuple[FitRow, ...]:
    """The rows that the model of `target` ("arm" or "gpu") is fitted to."""
    units = _appendix_1b() if target == "arm" else ()
    return (*_microbenchmarks(target), *_appendix_1a(target), *units)


def held_out(target: str) -> list[tuple[Network, str, float]]:
    """The networks of Table 8: (network, row name, measured seconds per batch)."""
    column = {"gpu": 1, "arm": 2}[target]
    return [
        (make(), name, 1.0 / float(str(PAPER_SPEEDS[name][column])))
        for name, make in PAPER_NETWORKS.items()
    ]
