"""latency.show, and the errors that a build prints."""

import json
from dataclasses import replace

import numpy as np
import pytest

from latency import show
from latency.engines.null import block_s
from latency.table.accuracy import error_summary
from latency.table.describe import format_build_errors
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from space.network.block import Block

HEADER = TableHeader(
    layout="blocks", target="cpu", source="measured", device="chip", engine="null",
    date="2026-01-01",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    header = replace(HEADER, noise={"spread": 0.01})
    blocks = [Block("stem", 224, 224, c_out=c) for c in range(8, 48, 4)]
    entries = {b: Measurement(*[block_s(b)] * 3, 5) for b in blocks}
    return LatencyTable(header, entries).save(tmp_path / "t.json")


def test_prints_header_and_families(path, capsys):
    assert show.main([str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("measured: chip, null, 1 thread\n")
    assert "  spread: 0.01\n" in out and "stem@224x224" in out and "10 blocks" in out


def test_json_is_the_header(path, capsys):
    assert show.main([str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())


@pytest.mark.parametrize(
    "spread, share, too_noisy, warnings",
    [(0.05, 0.99, [], []), (0.2, 0.5, ["stem"], ["not quiet", "50% of its CPU time", "left out"])],
)
def test_warns_of_noise(spread, share, too_noisy, warnings):
    errors = error_summary(np.array([1.0, 1.0]), np.array([1.0, 1.02]))
    both = {"unscaled": errors, "scaled": errors}
    header = replace(
        HEADER,
        network_error={"held_out": both, "on_grid": both, "left_out_blocks": {}},
        noise={
            "samples": 12,
            "spread": spread,
            "stopped_by": "stable",
            "seconds": 9,
            "processor_share": share,
            "too_noisy": too_noisy,
        },
    )
    lines = format_build_errors(header).splitlines()
    found = [line for line in lines if line.startswith("warning")]
    assert len(found) == len(warnings)
    assert sum(line.endswith("Spearman -") for line in lines) == 4  # predictions are constant
    assert all(word in line for word, line in zip(warnings, found, strict=True))


@pytest.mark.slow
def test_picture(path, tmp_path, capsys):
    out = tmp_path / "t.png"
    assert show.main([str(path), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert show.main([str(path), "--out", str(out / "x.png")]) == 2
    assert capsys.readouterr() == ("", f"latency.show: {out / 'x.png'}: Not a directory\n")


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["nowhere"], 2, "unknown target 'nowhere': must be one of"),
        (["arm", "--out", "x.png"], 2, "arm is a cost model of ops: it has no blocks to draw"),
    ],
)
def test_wrong_usage_is_one_line(arguments, status, message, capsys):
    assert show.main(arguments) == status
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err


def test_no_host_table_is_no_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    assert show.main(["cpu"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("latency.show: this host has no table yet") and err.count("\n") == 1
    assert "run python -m latency.build" in err
