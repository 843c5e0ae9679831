"""latency.validate: a table against networks that are measured now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from latency import validate
from latency.builder import validation
from latency.builder.random_networks import sample_networks
from latency.builder.validation import format_validation, other_versions, validation_s
from latency.builder.verdict import table_verdict
from latency.measure.block import chain_flops
from latency.measure.drift import REFERENCE, TimedGroup, reference_chain
from latency.measure.network import Timings
from latency.ondevice.host import chip
from latency.ondevice.timing import WARM_UP
from latency.table.accuracy import error_summary
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.costly_session import CostlySession


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
    """The table, on a machine that takes 4 % more than the unscaled table predicts."""
    table = load_table(table_here)
    assert isinstance(table, LatencyTable)

    def measure(session: object, networks: list, **_: object) -> Timings:
        seconds = np.array([1.04 * table.unscaled().network_s(n.blocks) for n in networks])
        group = TimedGroup(np.tile(seconds[:, None], 5), np.full((2, 5), 1.04e-3))
        return Timings(len(networks), ((np.arange(len(networks)), group),))

    monkeypatch.setattr(validation, "time_networks", measure)
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
    assert found["pace"] is None and found["at_pace"] is None  # the table has no reference time
    assert validate.main(words) == 0
    assert "6 random networks (shufflenet_v2), seed 3" in capsys.readouterr().out


def test_drift_correction_separates_a_slower_machine_from_a_wrong_table(
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
    ("words", "message"),
    [
        (["--table", "arm"], "must be a table measured on a device; it says published"),
        (["--table", "nope"], "unknown target"),
        (["--table", "arm", "--networks", "1"], "--networks must be from 2 to 10000; got 1"),
        (["--networks", "100000000"], "--networks must be from 2 to 10000; got 100000000"),
        (["--seed", "-1"], "--seed must be from 0 to 4294967295; got -1"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(words) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("latency.validate: ")
    assert err.count("\n") == 1


def test_an_out_that_cannot_be_written_is_found_before_measuring(
    table_here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--table", str(table_here), "--out", str(table_here / "rows.csv")]
    assert validate.main(words) == 2
    assert capsys.readouterr().err == (
        f"latency.validate: --out must be a folder, or a new one; got {table_here}\n"
    )


def test_a_table_of_another_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is measured, and told apart: 25 % more than the table says does not hold."""
    table = load_table("epyc-milan-ort")
    assert isinstance(table, LatencyTable)
    header = replace(table.header, device="chip x", engine="null")
    path = LatencyTable(header, table.entries).save(tmp_path / "t.json")

    def measure(session: object, networks: list, **_: object) -> Timings:
        seconds = np.array([1.25 * table.network_s(n.blocks) for n in networks])
        group = TimedGroup(np.tile(seconds[:, None], 5), np.full((2, 5), 1e-3))
        return Timings(len(networks), ((np.arange(len(networks)), group),))

    monkeypatch.setattr(validation, "time_networks", measure)
    assert validate.main(["--table", str(path), "--networks", "6"]) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines[0].startswith(
        f"warning: the table is of chip x, this machine is {chip()}: another"
    )
    version = table.header.engine_version
    assert lines[1].startswith(
        f"warning: the table was measured with null {version} (here 1): other versions may"
    )
    assert lines[2].startswith(f"6 networks on {chip()}, null 1, 1 thread: about ")
    assert lines[3] == (
        "latency.validate: the table does not hold: run python -m latency.build --device cpu "
        "--engine null for a table of this chip"
    )
    stated = header.network_error["held_out"]["scaled"]["mean_abs_error"]
    assert (
        f"verdict: the table does not hold on {chip()}: mean error of its scaled predictions "
        f"20.0% (the table states {stated:.1%}, up to 3.0% is accepted)"
    ) in out


def header_with(error: float | None, device: str = "chip") -> TableHeader:
    held_out = {"scaled": {"mean_abs_error": error, "networks": 20}}
    return TableHeader(
        layout="blocks", target="t", source="measured", device=device, engine="ncnn",
        date="2026-01-01", network_error={} if error is None else {"held_out": held_out},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "now", "then", "device", "holds"),
    [
        (0.01, 0.029, 0.029, "chip", True),
        (0.01, 0.031, 0.031, "chip", False),
        (0.05, 0.099, 0.099, "chip", True),
        (0.05, 0.101, 0.101, "chip", False),
        (0.01, 0.2, 0.01, "chip", True),  # the machine is slower as a whole
        (0.01, 0.2, 0.01, "another", False),  # another machine is another machine
        (None, 0.2, 0.2, "chip", None),
    ],
)
def test_the_verdict_is_against_the_tables_own_error(
    stated: float | None, now: float, then: float, device: str, holds: bool | None
) -> None:
    found = {
        "family": "shufflenet_v2", "relaxed": [], "scaled": {"mean_abs_error": now},
        "at_pace": {"scaled": {"mean_abs_error": then}}, "pace": {"then_s": 1.0, "now_s": 1.2},
    }  # fmt: skip
    verdict = table_verdict(header_with(stated, device), "chip", "cpu", found)
    assert verdict["holds"] is holds
    if holds is False:
        command = "run python -m latency.build --device cpu --engine ncnn --batch 4 --input 32x64 "
        header = replace(header_with(stated, device), batch=4, input="32x64")
        assert table_verdict(header, "chip", "cpu", found)["advice"].startswith(command)
    assert bool(verdict["advice"]) is (holds is False)
    other = table_verdict(
        header_with(stated, device), "chip", "cpu", {**found, "family": "resnet"}
    )
    assert other["holds"] is None


def test_the_estimate_of_the_duration() -> None:
    """A second to prepare a chain, 1e-9 s a multiply-add: six passes of six rounds over two groups
    of networks, each with the reference. What is timed in the estimate is not part of it."""
    session = CostlySession(chain=1.0, run_flop=1e-9)
    space = ShuffleNetV2Space(height=32, width=32)
    networks = sample_networks(space, 14, np.random.default_rng(0))
    runs = 1 + 2 * (WARM_UP + 6)
    flops = sum(network.flops for network in networks) + 2 * chain_flops(reference_chain(32, 32))
    expected = 6 * (16 * 1.0 + 1e-9 * flops * runs)
    assert validation_s(session, networks, 1) == pytest.approx(expected, rel=0.05)


def test_a_table_of_another_torch() -> None:
    """The shipped table of an H200 has torch 2.11.0 for CUDA 13.0, and cuDNN 9.19.0."""
    header = load_table("h200-f16-b8").header
    same = SimpleNamespace(
        engine="torch-cuda", engine_version="2.11.0+cu130",
        versions={"torch": "2.11.0+cu130", "cuda": "13.0", "cudnn": "91900"},
    )  # fmt: skip
    assert other_versions(header, same) == []
    same.engine_version = same.versions["torch"] = "2.14.1+cu130"
    assert other_versions(header, same) == ["torch 2.11.0+cu130 (here 2.14.1+cu130)"]
    same.versions["cudnn"] = "92000"
    assert other_versions(header, same)[1] == "cudnn 91900 (here 92000)"


def test_a_rank_correlation_that_is_not_defined() -> None:
    errors = error_summary(np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    assert json.loads(json.dumps(errors))["spearman"] is None
    found = {
        "networks": 2, "family": "shufflenet_v2", "seed": 0, "table": "t", "unscaled": errors,
        "scaled": errors, "pace": None, "at_pace": None,
    }  # fmt: skip
    assert format_validation(found).endswith("Spearman -")
