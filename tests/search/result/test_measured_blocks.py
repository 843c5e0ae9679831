"""Which blocks of a result a GPU's table has measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from latency.table.load import SHIPPED, load_table
from search import run
from search.result.rows import ResultRow
from search.result.text import measured_blocks
from space.cost.guidelines import Guidelines
from space.network.network import Network
from space.zoo.families import shufflenet_v2


def row(name: str, network: Network, latency_s: float | None = 1e-3) -> ResultRow:
    numbers = Guidelines.of(network.blocks)
    return ResultRow(name, "", 1.0, 1.0, latency_s, numbers, network)


def test_blocks_are_counted_as_they_are_in_the_file() -> None:
    table = load_table("h200-f16-b8")
    whole, half = shufflenet_v2("1.0"), shufflenet_v2("0.5")
    text = (SHIPPED / "h200-f16-b8.csv").read_text()
    known = {line.split(",")[0] for line in text.splitlines()[1:]}
    count = len([block for block in whole.blocks if str(block) in known])
    assert len(whole.blocks) == 18
    (line,) = measured_blocks([row("winner 1", whole), row("other", half, None)], table)
    assert line == (
        f"blocks measured on that GPU: {count} of 18 in winner 1; the others are predicted from "
        "them; networks run whole: none of these"
    )


def test_networks_that_were_run_whole_are_named() -> None:
    rows = [row("a", shufflenet_v2("1.0")), row("b", shufflenet_v2("0.5"))]
    rows[1] = replace(rows[1], measured_s=1e-3)
    (line,) = measured_blocks(rows, load_table("h200-f16-b8"))
    assert line.endswith("; networks run whole: b")


def test_other_tables_have_no_such_line() -> None:
    rows = [row("a", shufflenet_v2("1.0"))]
    assert measured_blocks(rows, load_table("arm")) == []
    assert measured_blocks(rows, load_table("rpi5")) == []


@pytest.mark.slow
def test_a_search_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--target", "h200-f16-b8", "--budget", "146M", "--trials", "40"]
    assert run.main([*words, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "latency of 8" in out and "703 us" in out
    (line,) = [row for row in out.splitlines() if row.startswith("blocks measured on that GPU")]
    assert " of 18 in ShuffleNet v2 1x" in line and line.endswith(
        "networks run whole: none of these"
    )
