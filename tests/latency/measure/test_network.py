"""Whole networks measured here, and the tables that are of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latency import validate
from latency.engines.null import RUN_S, block_s
from latency.measure import network as whole
from latency.measure.drift import REFERENCE, TimedGroup
from latency.ondevice.host import chip
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.zoo.families import shufflenet_v2

NETWORKS = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5")]


def test_seconds_are_the_engines() -> None:
    """More networks than are timed together, each its own seconds, in the order given."""
    many = NETWORKS * 5
    got = whole.measure_networks(many, engine="null", rounds=2)
    expected = [RUN_S + sum(block_s(block) for block in network.blocks) for network in many]
    assert got == pytest.approx(expected)


def test_an_emulated_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latency.ondevice.host.emulation", lambda: "so it is")
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


@pytest.fixture
def slower(table_here: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    """The table, on a machine that takes 4 % more than it says unscaled, in every round."""
    table = load_table(table_here)
    assert isinstance(table, LatencyTable)

    def measure(session: object, networks: list, **_: object) -> whole.Timings:
        seconds = np.array([1.04 * table.unscaled().network_s(n.blocks) for n in networks])
        visit = TimedGroup(np.tile(seconds[:, None], 5), np.full((2, 5), 1.04e-3))
        return whole.Timings(len(networks), ((np.arange(len(networks)), visit),))

    monkeypatch.setattr(whole, "time_networks", measure)
    return table


def test_validate_compares_with_what_is_measured(
    table_here: Path, slower: LatencyTable, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--table", str(table_here), "--networks", "6", "--seed", "3"]
    assert validate.main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["networks"], found["seed"]) == (6, 3)
    assert found["mean_abs_error"] == pytest.approx(1 - 1 / 1.04, rel=1e-3)
    assert found["within_5pct"] == 1.0
    assert found["unscaled"]["within_3pct"] == 0.0
    assert found["scale"] == slower.header.scale["factor"]
    assert found["scaled"]["mean_abs_error"] == pytest.approx(1 - found["scale"] / 1.04, rel=1e-3)
    assert found["spearman"] == 1.0
    assert found["pace"] is None and found["at_pace"] is None  # the table has recorded none
    assert validate.main(words) == 0
    assert "6 random networks (shufflenet_v2), seed 3" in capsys.readouterr().out


def test_a_slower_machine_and_a_wrong_table_are_told_apart(
    table_here: Path, slower: LatencyTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference takes 4 % more than when the table was built: the table is right."""
    noise = {**slower.header.noise, "reference": REFERENCE, "reference_s": 1e-3}
    LatencyTable(replace(slower.header, noise=noise), slower.entries).save(table_here)
    words = ["--table", str(table_here), "--networks", "6", "--seed", "3"]
    words += ["--out", str(tmp_path / "rows.csv")]
    assert validate.main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert len(rows) == 6 and rows["network"].nunique() == 6
    for name, factor in (("scaled", found["scale"]), ("measured", 1.04), ("measured_at_pace", 1)):
        ratio = (rows[f"{name}_s"] / rows["predicted_s"]).to_numpy()
        assert ratio == pytest.approx(np.full(6, factor), rel=1e-5)
    assert found["pace"] == {"network": REFERENCE, "then_s": 1e-3, "now_s": 1.04e-3}
    assert found["unscaled"]["within_3pct"] == 0.0
    assert found["at_pace"]["unscaled"]["mean_abs_error"] == pytest.approx(0, abs=1e-9)
    assert found["at_pace"]["scaled"]["bias"] == pytest.approx(found["scale"] - 1, rel=1e-3)
    assert validate.main(words) == 0
    assert "1.04 ms now, 1 ms when the table was built (+4.0%)" in capsys.readouterr().out


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
