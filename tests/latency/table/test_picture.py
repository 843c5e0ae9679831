"""The picture of a table: its axes, slices and alignments."""

import numpy as np
import pytest

from latency.microbenchmarks.picture import draw_slowdowns
from latency.microbenchmarks.slowdown import paper_slowdowns
from latency.paper_model.cases import make_cases
from latency.table.compare_picture import draw_table_comparison
from latency.table.header import TableHeader
from latency.table.interpolate import family_of
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.picture import axis_of, draw_table, multiple, slice_of
from space.network.block import Block


def test_alignments_are_the_greatest_power_of_two_up_to_16():
    assert multiple(np.array([64, 48, 24, 12, 58, 7])).tolist() == [16, 16, 8, 4, 2, 1]


def units(widths, share=2):
    return [
        Block("shufflenet_v2", 28, 28, c_in=c, c_out=c, branch=c // share, kernel=5)
        for c in widths
    ]


def test_a_slice_has_a_split_of_a_half_and_every_even_branch():
    blocks = units(range(32, 132, 4)) + units(range(32, 132, 8), 4)
    assert axis_of(blocks) == ("branch", 2)
    batch = slice_of(family_of(blocks[0]), blocks)
    assert batch.column("branch").tolist() == list(range(16, 65, 2))
    assert (batch.column("c_out") == 2 * batch.column("branch")).all()
    assert (batch.column("c_in") == batch.column("c_out")).all()
    assert set(batch.column("kernel")) == {5}


def test_a_unit_of_stride_2_keeps_its_median_input():
    blocks = [
        Block("separable", 28, 28, c_in=c, c_out=2 * c + 8, stride=2) for c in (16, 32, 64, 96, 80)
    ]
    batch = slice_of(family_of(blocks[0]), blocks)
    assert set(batch.column("c_in")) == {64} and set(batch.column("stride")) == {2}
    assert batch.column("c_out").tolist() == list(range(40, 201, 2))


def table_of(blocks, device="chip"):
    header = TableHeader(
        layout="blocks", target="t", source="measured", device=device, engine="null",
        date="2026-01-01",
    )  # fmt: skip
    return LatencyTable(header, {b: Measurement(*[1e-6 * b["c_out"]] * 3, 5) for b in blocks})


@pytest.mark.slow
def test_every_family_with_a_curve_has_a_panel(tmp_path):
    """Curves only of measured alignments; families of few blocks are left out."""
    few = [Block("head", 7, 7, c_in=c, c_out=256) for c in (96, 128)]
    draw_table(table_of(units(range(32, 132, 8)) + few), tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="has no 8 blocks of one family"):
        draw_table(table_of(few), tmp_path / "u.png")


@pytest.mark.slow
def test_dollars_in_a_name_are_no_formula(tmp_path):
    """`$run^$` is a syntax error of matplotlib's formulas."""
    table = table_of(units(range(32, 132, 8)), device="board $run^$ [/x] %s \\")
    draw_table(table, tmp_path / "t.png")
    draw_table_comparison(table, table, [], tmp_path / "u.png")
    series = [("paper", paper_slowdowns(make_cases("arm"))), ("$run^$ \\frac", ())]
    draw_slowdowns(tmp_path / "v.png", series)
    for name in "tuv":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
