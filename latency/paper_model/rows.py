"""The speeds that a published table is fitted to, as ops with their time and its uncertainty.

Table 8 is not among them: `held_out` returns its networks, to validate a fit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from latency.paper_model.paper_speeds import (
    APPENDIX_1A,
    APPENDIX_1B,
    PAPER_SPEEDS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
)
from space.graph.op import Op
from space.network.block import Block
from space.network.network import Network
from space.zoo.families import PAPER_NETWORKS, mobilenet_v2, shufflenet_v1, shufflenet_v2

HELD_OUT_BATCH = {"arm": 1, "gpu": 8}
REPEATS = 10  # blocks in the small networks of Tables 1-3 and appendix 1b

# The network of Table 8 at each level of complexity of appendix 1a, and its builder for other
# inputs. Of MobileNet v2 the paper has two of 40M and two of 140M;
# docs/reference/published-tables.md explains the choice.
LEVELS: dict[tuple[str, int], tuple[str, Callable[[int, int], Network]]] = {
    ("ShuffleNet v2", 40): ("ShuffleNet v2 0.5x", lambda h, w: shufflenet_v2("0.5", h, w)),
    ("ShuffleNet v2", 140): ("ShuffleNet v2 1.0x", lambda h, w: shufflenet_v2("1.0", h, w)),
    ("ShuffleNet v2", 300): ("ShuffleNet v2 1.5x", lambda h, w: shufflenet_v2("1.5", h, w)),
    ("ShuffleNet v2", 500): ("ShuffleNet v2 2.0x", lambda h, w: shufflenet_v2("2.0", h, w)),
    ("ShuffleNet v1", 40): ("ShuffleNet v1 0.5x g=3", lambda h, w: shufflenet_v1("0.5", h, w)),
    ("ShuffleNet v1", 140): ("ShuffleNet v1 1.0x g=3", lambda h, w: shufflenet_v1("1.0", h, w)),
    ("ShuffleNet v1", 300): ("ShuffleNet v1 1.5x g=3", lambda h, w: shufflenet_v1("1.5", h, w)),
    ("ShuffleNet v1", 500): ("ShuffleNet v1 2.0x g=3", lambda h, w: shufflenet_v1("2.0", h, w)),
    ("MobileNet v2", 40): ("MobileNet v2 0.4 160x160", lambda h, w: mobilenet_v2(0.4, h, w)),
    ("MobileNet v2", 140): ("MobileNet v2 0.75 192x192", lambda h, w: mobilenet_v2(0.75, h, w)),
    ("MobileNet v2", 300): ("MobileNet v2 1.0", lambda h, w: mobilenet_v2(1.0, h, w)),
    ("MobileNet v2", 500): ("MobileNet v2 1.4", lambda h, w: mobilenet_v2(1.4, h, w)),
}


@dataclass(frozen=True, slots=True)
class FitRow:
    """One measured speed.

    `ops`: the ops that ran, each with its count. `precision`: relative standard deviation of the
    printed rounding. `uncertainty`: relative standard deviation of the work, where the paper
    leaves it open. `is_network`: `ops` is a network with its own global pooling.
    """

    table: str
    family: str
    name: str
    measured_s: float
    precision: float
    ops: tuple[tuple[Op, float], ...]
    batch: int = 1
    uncertainty: float = 0.0
    is_network: bool = False


def _speed(printed: str) -> tuple[float, float]:
    """Seconds, and relative standard deviation from the printed rounding: an error that is uniform
    over a step has deviation step / sqrt(12)."""
    value = float(printed)
    step = 10.0 ** -len(printed.partition(".")[2])
    return 1.0 / value, float(step / np.sqrt(12.0) / value)


def _times(ops: Iterable[Op], times: float) -> tuple[tuple[Op, float], ...]:
    return tuple((op, times) for op in ops)


def _pointwise(c_in: int, c_out: int, groups: int = 1) -> Block:
    return Block("conv", 56, 56, c_in=c_in, c_out=c_out, groups=groups)


def _table_1(target: str) -> Iterable[FitRow]:
    for (c1, c2), speeds in TABLE_1[target].items():
        for scale, printed in zip((1, 2, 4), speeds, strict=True):
            a, b = c1 * scale, c2 * scale
            ops = (*_pointwise(a, b).ops, *_pointwise(b, a).ops)
            row = (*_speed(printed), _times(ops, REPEATS))
            yield FitRow("1", "1x1 ratios", f"1x1 {a}:{b}", *row)


def _table_2(target: str) -> Iterable[FitRow]:
    for (groups, width), speeds in TABLE_2[target].items():
        for scale, printed in zip((1, 2, 4), speeds, strict=True):
            c = width * scale
            # 180 channels do not divide by 8: half of the layers at 176, half at 184.
            widths = {c // groups * groups, -(-c // groups) * groups}
            ops = [op for each in sorted(widths) for op in _pointwise(each, each, groups).ops]
            row = (*_speed(printed), _times(ops, REPEATS / len(widths)))
            yield FitRow("2", "1x1 groups", f"1x1 {c}, {groups} groups", *row)


def _table_3(target: str) -> Iterable[FitRow]:
    base = {"arm": 64, "gpu": 128}[target]
    for (fragments, serial), speeds in TABLE_3[target].items():
        for scale, printed in zip((1, 2, 4), speeds, strict=True):
            c = round(base * scale / np.sqrt(fragments))
            fields = {"c_in": c, "c_out": c, "fragments": fragments, "serial": serial}
            block = Block("pointwise_fragments", 56, 56, **fields)
            row = (*_speed(printed), _times(block.ops, REPEATS))
            how = "in sequence" if serial else "parallel"
            yield FitRow("3", "1x1 fragments", f"{fragments} x 1x1 {c} {how}", *row)


def _appendix_1a(target: str) -> Iterable[FitRow]:
    for (family, level, height, width), (gpu, gpu_batch, arm) in APPENDIX_1A.items():
        known, make = LEVELS[family, level]
        network = make(height, width)
        ops = [op for block in network.blocks for op in block.ops]
        yield FitRow(
            "1a",
            family,
            f"{family} {level}M {height}x{width}",
            *_speed(arm if target == "arm" else gpu),
            _times(ops, 1),
            batch=1 if target == "arm" else gpu_batch,
            uncertainty=abs(PAPER_NETWORKS[known]().flops / (PAPER_SPEEDS[known][0] * 1e6) - 1.0),
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


def _appendix_1b(target: str) -> Iterable[FitRow]:
    for (family, size), speeds in APPENDIX_1B.items() if target == "arm" else ():
        for c, printed in zip((64, 128, 256), speeds, strict=True):
            ops = _times(_unit(family, size, c).ops, REPEATS)
            yield FitRow("1b", family, f"{family} {c} at {size}x{size}", *_speed(printed), ops)


@cache
def fit_rows(target: str) -> tuple[FitRow, ...]:
    """The rows that the model of `target` ("arm" or "gpu") is fitted to."""
    tables = (_table_1, _table_2, _table_3, _appendix_1a, _appendix_1b)
    return tuple(row for table in tables for row in table(target))


def held_out(target: str) -> list[tuple[Network, str, float]]:
    """The networks of Table 8: (network, row name, measured seconds per batch)."""
    column = {"gpu": 1, "arm": 2}[target]
    return [
        (make(), name, 1.0 / float(str(PAPER_SPEEDS[name][column])))
        for name, make in PAPER_NETWORKS.items()
    ]
