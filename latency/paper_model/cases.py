"""The paper's four microbenchmarks (Tables 1-4, one per guideline) as chains of blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from latency.paper_model.paper_speeds import PAPER_DEVICES, TABLE_1, TABLE_2, TABLE_3, TABLE_4
from space.cost.guidelines import Guidelines
from space.network.block import Block, Chain

BLOCKS = 10  # in every row of the four tables
SIZE = 56  # pixels; height and width of every map
BASE = {"arm": 64, "gpu": 128}  # channels of one fragment in Table 3, at scale 1
# What divides the widths of aligned rows. On a processor: the floats of the widest vector unit
# (AVX-512); every smaller one divides it. On a GPU, where all rows are twice as wide: an
# instruction of its tensor cores takes 16 channels of the input (8 in tf32) and 8 of the output,
# so 32 fills them in every dtype.
ALIGNED = {"arm": 16, "gpu": 32}

# Title of each table. Its first row keeps the guideline, its last breaks it most.
TITLES = {
    1: "G1, equal widths: ten blocks of 1x1 convolutions c1 -> c2 -> c1 at 56x56",
    2: "G2, groups: ten grouped 1x1 convolutions c -> c at 56x56",
    3: "G3, fragments: ten blocks of 1x1 convolutions c -> c, in sequence or added, at 56x56",
    4: "G4, element-wise operators: ten ResNet bottlenecks c -> c/4 -> c at 56x56",
}
_ELEMENTWISE = {(0, 0): "neither", (1, 0): "ReLU", (0, 1): "shortcut", (1, 1): "ReLU and shortcut"}


def printed_speed(printed: str) -> tuple[float, float]:
    """Seconds, and half a step of the printed speed, relative."""
    return 1.0 / float(printed), 0.5 * 10.0 ** -len(printed.partition(".")[2]) / float(printed)


@dataclass(frozen=True, slots=True)
class Case:
    """One speed of Tables 1-4: `row` of `table` at one of its widths.

    `unit` x `repeats` are the ten blocks; the output of a unit has the shape of its input.
    `printed`: the speed in the paper, "" of a case that is not in it. `nominal`: multiply-adds of
    the ten blocks at the paper's widths, where these are not the built ones.
    """

    table: int
    row: str
    scale: int
    channels: str
    unit: Chain
    printed: str = ""
    nominal: float | None = None
    repeats: int = BLOCKS

    @property
    def paper_s(self) -> float:
        """Seconds of the ten blocks in the paper; NaN of a case that is not in it."""
        return printed_speed(self.printed)[0] if self.printed else math.nan

    @property
    def rounding(self) -> float:
        """Half a step of the printed speed, relative."""
        return printed_speed(self.printed)[1]

    @property
    def flops(self) -> int:
        """Multiply-adds of the ten blocks as built."""
        return self.repeats * sum(block.flops for block in self.unit)

    @property
    def paper_flops(self) -> float:
        """Multiply-adds of the ten blocks at the paper's widths."""
        return float(self.flops if self.nominal is None else self.nominal)

    @property
    def number(self) -> float:
        """G1 in Table 1, G2 in Table 2 and so on, of the blocks as built."""
        return float(getattr(Guidelines.of(self.unit), f"g{self.table}"))


def _speeds(table: dict[tuple[int, int], tuple[str, str, str]]) -> Iterator[tuple]:
    """The key, scale of the width, and printed speed of each cell of a table."""
    for key, speeds in table.items():
        for scale, printed in zip((1, 2, 4), speeds, strict=True):
            yield key, scale, printed


def _conv(c_in: int, c_out: int, groups: int = 1) -> Block:
    return Block("conv", SIZE, SIZE, c_in=c_in, c_out=c_out, groups=groups)


def _pair(c1: int, c2: int) -> Chain:
    return _conv(c1, c2), _conv(c2, c1)


def _fragments(c: int, fragments: int, serial: int) -> Chain:
    fields = {"c_in": c, "c_out": c, "fragments": fragments, "serial": serial}
    return (Block("pointwise_fragments", SIZE, SIZE, **fields),)


def _groups_row(groups: int) -> str:
    return "1 group" if groups == 1 else f"{groups} groups"


def _fragments_row(fragments: int, serial: int) -> str:
    if fragments == 1:
        return "1 fragment"
    return f"{fragments} {'in sequence' if serial else 'in parallel'}"


def make_cases(columns: str) -> tuple[Case, ...]:
    """All speeds of Tables 1-4 at the widths of the paper's `columns` ("arm" or "gpu"): table by
    table, row by row, the three widths of a row side by side.

    Raises:
        ValueError: unknown columns.
    """
    if columns not in PAPER_DEVICES:
        raise ValueError(f"`columns` must be one of {', '.join(PAPER_DEVICES)}; got {columns!r}")
    cases: list[Case] = []
    unit: Chain
    for (c1, c2), scale, printed in _speeds(TABLE_1[columns]):
        a, b = c1 * scale, c2 * scale
        cases.append(Case(1, f"1:{c2 // c1}", scale, f"{a}:{b}", _pair(a, b), printed))
    for (groups, width), scale, printed in _speeds(TABLE_2[columns]):
        c = width * scale
        nominal = BLOCKS * c * c / groups * SIZE * SIZE
        low, high = c // groups * groups, -(-c // groups) * groups
        unit, channels, repeats = (_conv(c, c, groups),), str(c), BLOCKS
        if low != high:  # 180 channels in 8 groups: 176 and 184 in turn
            unit = (_conv(low, high, groups), _conv(high, low, groups))
            channels, repeats = f"{low},{high}", BLOCKS // 2
        row = _groups_row(groups)
        cases.append(Case(2, row, scale, channels, unit, printed, nominal, repeats))
    for (fragments, serial), scale, printed in _speeds(TABLE_3[columns]):
        c1 = BASE[columns] * scale  # of one fragment
        c = round(c1 / math.sqrt(fragments))
        nominal = float(BLOCKS * c1**2 * SIZE * SIZE)
        unit, row = _fragments(c, fragments, serial), _fragments_row(fragments, serial)
        cases.append(Case(3, row, scale, str(c), unit, printed, nominal))
    for (relu, shortcut), scale, printed in _speeds(TABLE_4[columns]):
        c = 32 * scale
        fields = {"c_in": c, "c_out": c, "mid": c // 4, "relu": relu, "shortcut": shortcut}
        unit = (Block("bottleneck", SIZE, SIZE, **fields),)
        cases.append(Case(4, _ELEMENTWISE[relu, shortcut], scale, str(c), unit, printed))
    return tuple(cases)


def make_aligned(columns: str) -> tuple[Case, ...]:
    """Rows like those of Tables 1-3 at widths that are multiples of `ALIGNED`; not in the
    paper.

    Most of the paper's rows that break G1-G3 have widths such as 22, 45 or 90, which vector units
    and tiles do not divide, and the rows that keep them have 32 or 64: the tables measure both
    effects at once. Here only the guideline's number varies. Each row has two widths; the FLOPs of
    rows differ a little.
    """
    cases: list[Case] = []
    for scale in (1, 2):
        c = BASE[columns] * scale
        for share in (1, 2, 4):
            a, b = c // share, c * share
            cases.append(Case(1, f"1:{share**2}", scale, f"{a}:{b}", _pair(a, b)))
            grouped = (_conv(b, b, share**2),)
            cases.append(Case(2, _groups_row(share**2), scale, str(b), grouped))
        for fragments, serial in TABLE_3[columns]:
            width = {1: c, 2: 3 * c // 4, 4: c // 2}[fragments]
            unit, row = _fragments(width, fragments, serial), _fragments_row(fragments, serial)
            cases.append(Case(3, row, scale, str(width), unit))
    return tuple(sorted(cases, key=lambda case: case.table))


def row_names(cases: Iterable[Case], table: int) -> list[str]:
    """The names of a table's rows, in their order."""
    return list(dict.fromkeys(case.row for case in cases if case.table == table))
