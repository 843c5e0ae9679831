"""The paper's four microbenchmarks (Tables 1-4, one per guideline) as chains of blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from latency.paper_model.paper_speeds import PAPER_DEVICES, TABLE_1, TABLE_2, TABLE_3, TABLE_4
from space.cost.guidelines import Guidelines
from space.network.block import Block

SCALES = (1, 2, 4)
SIZE = 56  # pixels; height and width of every map
BLOCKS = 10  # stacked in every row of the four tables
ALIGNED = 16  # floats of the widest vector unit (AVX-512); every smaller one divides it

RATIO = 4  # c over the width of the bottleneck's 3x3 convolution
TABLE_4_WIDTH = 32

# Title of each table. Its first row keeps the guideline, its last breaks it most.
TITLES = {
    1: "G1, equal widths: ten blocks of 1x1 convolutions c1 -> c2 -> c1 at 56x56",
    2: "G2, groups: ten grouped 1x1 convolutions c -> c at 56x56",
    3: "G3, fragments: ten blocks of 1x1 convolutions c -> c, in sequence or added, at 56x56",
    4: "G4, element-wise operators: ten ResNet bottlenecks c -> c/4 -> c at 56x56",
}
_ELEMENTWISE = {(0, 0): "neither", (1, 0): "ReLU", (0, 1): "shortcut", (1, 1): "ReLU and shortcut"}


@dataclass(frozen=True, slots=True)
class Case:
    """One speed of Tables 1-4: `row` of `table` at one of its three widths.

    `unit` x `repeats` are the ten blocks; the output of a unit has the shape of its input.
    `paper_s`: seconds of the ten blocks in the paper, NaN of a case that is not in it. `rounding`:
    half a step of the printed speed, relative. `paper_flops`: multiply-adds of the ten blocks at
    the paper's widths, some of which are no whole numbers.
    """

    table: int
    row: str
    scale: int
    channels: str
    unit: tuple[Block, ...]
    repeats: int
    paper_s: float
    rounding: float
    paper_flops: float

    @property
    def flops(self) -> int:
        """Multiply-adds of the ten blocks as built."""
        return self.repeats * sum(block.flops for block in self.unit)

    @property
    def number(self) -> float:
        """G1 in Table 1, G2 in Table 2 and so on, of the blocks as built."""
        return float(getattr(Guidelines.of(self.unit), f"g{self.table}"))


def _case(
    table: int,
    row: str,
    scale: int,
    channels: str,
    unit: tuple[Block, ...],
    printed: str,
    flops: float | None = None,
    repeats: int = BLOCKS,
) -> Case:
    speed = float(printed)
    rounding = 0.5 * 10.0 ** -len(printed.partition(".")[2]) / speed
    built = repeats * sum(block.flops for block in unit)
    paper_flops = built if flops is None else flops
    return Case(
        table, row, scale, channels, unit, repeats, 1.0 / speed, rounding, float(paper_flops)
    )


def _conv(c_in: int, c_out: int, groups: int = 1) -> Block:
    return Block("conv", SIZE, SIZE, c_in=c_in, c_out=c_out, groups=groups)


def _table_1(columns: str) -> Iterable[Case]:
    for (c1, c2), speeds in TABLE_1[columns].items():
        for scale, printed in zip(SCALES, speeds, strict=True):
            a, b = c1 * scale, c2 * scale
            unit = (_conv(a, b), _conv(b, a))
            yield _case(1, f"1:{c2 // c1}", scale, f"{a}:{b}", unit, printed)


def _table_2(columns: str) -> Iterable[Case]:
    for (groups, width), speeds in TABLE_2[columns].items():
        row = "1 group" if groups == 1 else f"{groups} groups"
        for scale, printed in zip(SCALES, speeds, strict=True):
            c = width * scale
            flops = BLOCKS * c * c / groups * SIZE * SIZE
            low, high = c // groups * groups, -(-c // groups) * groups
            if low == high:
                yield _case(2, row, scale, str(c), (_conv(c, c, groups),), printed, flops)
            else:  # 180 channels in 8 groups: 176 and 184 in turn
                unit = (_conv(low, high, groups), _conv(high, low, groups))
                halves = (flops, BLOCKS // 2)
                yield _case(2, row, scale, f"{low},{high}", unit, printed, *halves)


def _fragments(c: int, fragments: int, serial: int) -> Block:
    fields = {"c_in": c, "c_out": c, "fragments": fragments, "serial": serial}
    return Block("pointwise_fragments", SIZE, SIZE, **fields)


def _fragments_row(fragments: int, serial: int) -> str:
    if fragments == 1:
        return "1 fragment"
    return f"{fragments} {'in sequence' if serial else 'in parallel'}"


def _table_3(columns: str) -> Iterable[Case]:
    base = {"arm": 64, "gpu": 128}[columns]
    for (fragments, serial), speeds in TABLE_3[columns].items():
        row = _fragments_row(fragments, serial)
        for scale, printed in zip(SCALES, speeds, strict=True):
            c = round(base * scale / np.sqrt(fragments))
            unit = (_fragments(c, fragments, serial),)
            flops = BLOCKS * (base * scale) ** 2 * SIZE * SIZE
            yield _case(3, row, scale, str(c), unit, printed, flops)


def _table_4(columns: str) -> Iterable[Case]:
    for (relu, shortcut), speeds in TABLE_4[columns].items():
        for scale, printed in zip(SCALES, speeds, strict=True):
            c = TABLE_4_WIDTH * scale
            fields = {"c_in": c, "c_out": c, "mid": c // RATIO}
            unit = (Block("bottleneck", SIZE, SIZE, **fields, relu=relu, shortcut=shortcut),)
            yield _case(4, _ELEMENTWISE[relu, shortcut], scale, str(c), unit, printed)


def make_cases(columns: str) -> tuple[Case, ...]:
    """All speeds of Tables 1-4 at the widths of the paper's `columns` ("arm" or "gpu"): table by
    table, row by row, the three widths of a row side by side.

    Raises:
        ValueError: unknown columns.
    """
    if columns not in PAPER_DEVICES:
        raise ValueError(f"`columns` must be one of {', '.join(PAPER_DEVICES)}; got {columns!r}")
    tables = (_table_1, _table_2, _table_3, _table_4)
    return tuple(case for table in tables for case in table(columns))


def make_aligned(columns: str) -> tuple[Case, ...]:
    """Rows like those of Tables 1-3 at widths that are multiples of `ALIGNED`; not in the paper.

    Most of the paper's rows that break G1-G3 have widths such as 22, 45 or 90, which vector units
    and tiles do not divide, and the rows that keep them have 32 or 64: the tables measure both
    effects at once. Here only the guideline's number varies. Each row has two widths; the FLOPs of
    rows differ a little.
    """
    found = []
    wide = {"arm": 1, "gpu": 2}[columns]
    for scale in (1, 2):
        c = 64 * scale * wide
        for share in (1, 2, 4):
            a, b = c // share, c * share
            row = f"1:{share * share}"
            found.append(_own(1, row, scale, f"{a}:{b}", (_conv(a, b), _conv(b, a))))
        for share in (1, 2, 4):
            row = "1 group" if share == 1 else f"{share * share} groups"
            block = _conv(c * share, c * share, share * share)
            found.append(_own(2, row, scale, str(c * share), (block,)))
        for fragments, serial in TABLE_3[columns]:
            width = {1: c, 2: 3 * c // 4, 4: c // 2}[fragments]
            block = _fragments(width, fragments, serial)
            found.append(_own(3, _fragments_row(fragments, serial), scale, str(width), (block,)))
    return tuple(sorted(found, key=lambda case: case.table))


def _own(table: int, row: str, scale: int, channels: str, unit: tuple[Block, ...]) -> Case:
    flops = float(BLOCKS * sum(block.flops for block in unit))
    return Case(table, row, scale, channels, unit, BLOCKS, math.nan, 0.0, flops)


def row_names(cases: Iterable[Case], table: int) -> list[str]:
    """The names of a table's rows, in their order."""
    return list(dict.fromkeys(case.row for case in cases if case.table == table))
