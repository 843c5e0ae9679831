"""Whole networks measured here, and the tables that are of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latency import validate, whole
from latency.devices import Timed
from latency.engines.null import RUN_S, block_s
from latency.machine import chip
from latency.pace import pace, some_blocks
from latency.table import LatencyTable, load_table
from space.network import shufflenet_v2

NETWORKS = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5")]


def test_seconds_are_the_engines() -> None:
    """More networks than are timed together, each its own seconds, in the order given."""
    many = NETWORKS * 5
    got = whole.measure_networks(many, engine="null", rounds=2)
    expected = [RUN_S + sum(block_s(block) for block in network.blocks) for network in many]
    assert got == pytest.approx(expected)


def test_an_emulated_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency.machine.emulation", lambda: "so it is")
    with pytest.raises(ValueError, match="wall time is not latency"):
        whole.measure_networks(NETWORKS)


def test_which_tables_are_of_this_machine() -> None:
    header = load_table("epyc-milan-ort").header
    here = replace(header, device=chip())
    assert whole.is_of_this_machine(here)
    for other in (
        replace(here, device="another chip"),
        replace(here, source="estimated"),
        replace(here, engine="null"),
        replace(here, engine="unknown"),
        load_table("arm").header,
    ):
        assert not whole.is_of_this_machine(other)


@pytest.mark.slow
def test_larger_networks_take_longer_on_this_machine() -> None:
    small, _, large = whole.measure_networks(NETWORKS)
    assert 0 < small < large


@pytest.fixture
def table_here(tmp_path: Path) -> Path:
    """The shipped x86 table as if it were of this chip."""
    table = load_table("epyc-milan-ort")
    assert isinstance(table, LatencyTable)
    return LatencyTable(replace(table.header, device=chip()), table.entries).save(
        tmp_path / "here.json"
    )


def test_validate_compares_with_what_is_measured(
    table_here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With measurements that are 4 % above the unscaled predictions the errors are known."""
    table = load_table(table_here)
    assert isinstance(table, LatencyTable)

    def measure(session: object, networks: list, **_: object) -> np.ndarray:
        return np.array([1.04 * table.unscaled().network_s(n.blocks) for n in networks])

    monkeypatch.setattr(whole, "time_networks", measure)
    monkeypatch.setattr("latency.pace.pace", lambda *_: 1.04 / table.header.scale["factor"])
    words = ["--table", str(table_here), "--networks", "6", "--seed", "3"]
    assert validate.main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["networks"], found["seed"]) == (6, 3)
    assert found["mean_abs_error"] == pytest.approx(1 - 1 / 1.04, rel=1e-3)
    assert found["within_5pct"] == 1.0
    assert found["unscaled"]["within_3pct"] == 0.0
    assert found["scale"] == table.header.scale["factor"]
    assert found["scaled"]["mean_abs_error"] == pytest.approx(1 - found["scale"] / 1.04, rel=1e-3)
    assert found["spearman"] == 1.0
    assert validate.main(words) == 0
    assert "6 random networks (shufflenet_v2), seed 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--table", "arm"], "must be a table measured on a device; it says published"),
        (["--table", "nope"], "unknown target"),
        (["--table", "arm", "--networks", "1"], "at least 2"),
    ],
)
def test_mistakes(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(words) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


class Slower:
    """A session in which every block of a table takes `factor` of what the table says, after a
    start that is the same."""

    def __init__(self, table: LatencyTable, factor: float) -> None:
        self.table, self.factor = table, factor

    def time(self, chains: list, *, batch: int, rounds: int) -> Timed:
        assert batch == self.table.header.batch
        seconds = [
            1e-3 + self.factor * sum(self.table.entries[block].median_s for block in chain)
            for chain in chains
        ]
        return Timed(np.tile(np.array(seconds)[:, None], rounds), 0.0, 0.0, 0.0)


@pytest.mark.parametrize("factor", [1.0, 1.02, 0.95])
def test_pace_is_what_all_blocks_are_slower_by(factor: float) -> None:
    table = load_table("epyc-milan-ort")
    assert isinstance(table, LatencyTable)
    found = pace(Slower(table, factor), table)  # type: ignore[arg-type]
    assert found == pytest.approx(factor)
    targets = some_blocks(table)
    assert len({target.block for target in targets}) == 24
    assert all(table.exact(target.block) for target in targets)


def test_a_table_without_such_blocks_has_no_pace() -> None:
    table = load_table("epyc-milan-ort")
    assert isinstance(table, LatencyTable)
    stems = {block: m for block, m in table.entries.items() if block.kind == "stem"}
    assert pace(Slower(table, 1.0), LatencyTable(table.header, stems)) is None  # type: ignore[arg-type]
