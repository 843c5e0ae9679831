"""The microbenchmarks' blocks, against hand counts and the paper's own tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from latency.microbenchmarks.timing import case_chains
from latency.paper_model.cases import (
    ALIGNED,
    BLOCKS,
    TITLES,
    Case,
    make_aligned,
    make_cases,
    row_names,
)
from latency.paper_model.rows import fit_rows
from space.network.block import Block
from space.network.network import Network

PIXELS = 56 * 56


def case(table: int, row: str, scale: int, columns: str = "arm") -> Case:
    found = [c for c in make_cases(columns) if (c.table, c.row, c.scale) == (table, row, scale)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("columns", ["arm", "gpu"])
def test_every_row_of_the_tables(columns: str) -> None:
    cases = make_cases(columns)
    assert [sum(c.table == table for c in cases) for table in TITLES] == [12, 12, 15, 12]
    assert row_names(cases, 1) == ["1:1", "1:2", "1:6", "1:12"]
    assert row_names(cases, 4) == ["neither", "ReLU", "shortcut", "ReLU and shortcut"]


def test_unknown_columns() -> None:
    with pytest.raises(ValueError, match="`columns` must be one of arm, gpu; got 'tpu'"):
        make_cases("tpu")


@pytest.mark.parametrize("columns", ["arm", "gpu"])
def test_units_stack(columns: str) -> None:
    """A unit takes what it gives, and ten blocks of it are the chain's difference."""
    for c in (*make_cases(columns), *make_aligned(columns)):
        long, before = case_chains(c)
        assert Network("stack", long).flops - Network("stack", before).flops == c.flops
        assert long[0] == before[0] and long[0].kind == "conv" and long[0].c_in == c.unit[0].c_in
        assert c.repeats * len(c.unit) == (2 * BLOCKS if c.table == 1 else BLOCKS)


@pytest.mark.parametrize("columns", ["arm", "gpu"])
def test_aligned_cases(columns: str) -> None:
    """Every width of every group is such a multiple, and rows have about equal FLOPs."""
    cases = make_aligned(columns)
    aligned = {"arm": 16, "gpu": 32}[columns]
    assert ALIGNED[columns] == aligned
    assert [row_names(cases, table) for table in (1, 2, 4)] == [
        ["1:1", "1:4", "1:16"],
        ["1 group", "4 groups", "16 groups"],
        [],
    ]
    assert row_names(cases, 3) == row_names(make_cases(columns), 3)
    for c in cases:
        ops = [op for block in c.unit for op in block.ops]
        assert all(op.c_in // op.groups % aligned == op.c_out % aligned == 0 for op in ops)
        base = 64 * c.scale * {"arm": 1, "gpu": 2}[columns]
        wanted = BLOCKS * base * base * PIXELS * (2 if c.table == 1 else 1)
        slack = 0.126 if c.row.startswith("2 ") else 0  # 3/4 for the root of 1/2
        assert c.flops == pytest.approx(wanted, rel=slack)
        assert c.paper_s != c.paper_s and c.paper_flops == c.flops


@pytest.mark.parametrize(
    ("table", "row", "scale", "wanted"),
    [
        (1, "1:12", 1, BLOCKS * 2 * 9 * 108),
        (2, "4 groups", 2, BLOCKS * 256 * 256 // 4),
        (2, "8 groups", 1, BLOCKS * 176 * 184 // 8),
        (3, "2 in parallel", 2, BLOCKS * 2 * 91 * 91),
        (3, "4 in sequence", 4, BLOCKS * 4 * 128 * 128),
        (4, "neither", 4, BLOCKS * (2 * 128 * 32 + 9 * 32 * 32)),
        (4, "ReLU and shortcut", 1, BLOCKS * (2 * 32 * 8 + 9 * 8 * 8)),
    ],
)
def test_flops_by_hand(table: int, row: str, scale: int, wanted: int) -> None:
    assert case(table, row, scale).flops == wanted * PIXELS


@pytest.mark.parametrize("table", [1, 2])
def test_flops_and_speeds_of_the_papers_tables(
    table: int, paper: Callable[[str], list[dict[str, str]]]
) -> None:
    key = {1: "c1_to_c2", 2: "groups"}[table]
    for row in paper(f"table{table}.csv"):
        name = row[key] if table == 1 else f"{row[key]} group{'s' * (row[key] != '1')}"
        found = case(table, name, int(row["scale"]), row["platform"].lower())
        assert found.paper_flops == float(row["macs"])
        assert found.flops == pytest.approx(float(row["macs"]), rel=1e-3)
        assert found.paper_s * 1e3 == pytest.approx(float(row["latency_ms"]), abs=1e-4)


def test_table_3_of_the_paper(paper: Callable[[str], list[dict[str, str]]]) -> None:
    """Equal FLOPs but for the rounding of widths, which is 1.2 % of FLOPs at most."""
    for row in paper("table3.csv"):
        how = {"single": "", "series": " in sequence", "parallel": " in parallel"}
        name = row["fragments"] + (how[row["arrangement"]] or " fragment")
        base = {"ARM": 64, "GPU": 128}[row["platform"]]
        scale = int(row["c_1fragment"]) // base
        found = case(3, name, scale, row["platform"].lower())
        assert found.paper_flops == float(row["macs_same_as_1fragment"])
        assert found.flops == pytest.approx(found.paper_flops, rel=0.012)
        assert abs(int(found.channels) - float(row["c_equal_flops_derived"])) <= 0.5
        assert found.paper_s * 1e3 == pytest.approx(float(row["latency_ms"]), abs=1e-4)


def test_table_4_of_the_paper(paper: Callable[[str], list[dict[str, str]]]) -> None:
    names = {"nono": "neither", "yesno": "ReLU", "noyes": "shortcut"}
    for row in paper("table4.csv"):
        name = names.get(row["relu"] + row["shortcut"], "ReLU and shortcut")
        found = case(4, name, int(row["c"]) // 32, row["platform"].lower())
        assert found.channels == row["c"]
        assert found.paper_s * 1e3 == pytest.approx(float(row["latency_ms"]), abs=1e-4)


def test_the_fit_has_the_same_speeds_and_flops() -> None:
    """Also where the fit builds other layers: 176 -> 176 and 184 -> 184 of Table 2."""
    for columns in ("arm", "gpu"):
        fitted = [r for r in fit_rows(columns) if r.table in ("1", "2", "3")]
        ours = [c for c in make_cases(columns) if c.table < 4]
        assert [r.measured_s for r in fitted] == [c.paper_s for c in ours]
        for row, own in zip(fitted, ours, strict=True):
            flops = row.repeats * sum(block.flops for block in row.blocks)
            assert own.flops == pytest.approx(flops, rel=1.2e-3)


def test_numbers_by_hand() -> None:
    """G1 of 1:12 is (access of c1 + c2 + weights) over its bound; G4 of a bare bottleneck is 0."""
    c1, c2 = 9, 108
    weights = c1 * c2
    bound = 2 * PIXELS * (c1 * c2) ** 0.5 + weights
    assert case(1, "1:12", 1).number == pytest.approx((PIXELS * (c1 + c2) + weights) / bound)
    assert case(1, "1:1", 4).number == 1
    assert case(2, "1 group", 1).number == 1
    assert case(3, "4 in parallel", 1).number == 4
    assert case(4, "neither", 2).number == 0
    # c = 32, mid = 8: three ReLUs move 2 (8 + 8 + 32), the convolutions 40 + 16 + 40 and weights.
    relu, moved = 96 * PIXELS, 96 * PIXELS + 2 * 256 + 576
    assert case(4, "ReLU", 1).number == pytest.approx(relu / (relu + moved))


def test_rounding_of_printed_speeds() -> None:
    assert case(1, "1:12", 4).rounding == pytest.approx(0.05 / 4.4)
    assert case(1, "1:1", 1, "gpu").rounding == pytest.approx(0.5 / 1480)


@pytest.mark.parametrize(
    ("relu", "shortcut", "kinds"),
    [
        (1, 1, ["conv relu", "conv relu", "conv ", "add ", "relu "]),
        (0, 1, ["conv ", "conv ", "conv ", "add "]),
        (1, 0, ["conv relu", "conv relu", "conv relu"]),
        (0, 0, ["conv ", "conv ", "conv "]),
    ],
)
def test_bottleneck_without_its_elementwise_ops(
    relu: int, shortcut: int, kinds: list[str]
) -> None:
    fields = {"c_in": 16, "c_out": 16, "mid": 4, "relu": relu, "shortcut": shortcut}
    block = Block("bottleneck", 8, 8, **fields)
    assert [f"{op.kind} {op.act}" for op in block.ops] == kinds
    assert block.flops == 64 * (2 * 16 * 4 + 9 * 4 * 4)
    assert Block.parse(str(block)) == block
    squeezed = Block("bottleneck", 8, 8, **fields, se=4)
    ends = {(1, 1): "relu", (0, 1): "add", (1, 0): "relu", (0, 0): "mul"}
    assert squeezed.ops[-1].kind == ends[relu, shortcut]
