"""python -m latency.show."""

import json

import pytest

from latency import show
from latency.engines.null import block_s
from latency.table.describe import error_lines
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from space.network.block import Block


@pytest.fixture
def path(tmp_path):
    header = TableHeader(
        layout="blocks",
        target="cpu",
        source="measured",
        device="chip",
        engine="null",
        date="2026-01-01",
        noise={"spread": 0.01},
    )
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
    [(0.05, 0.99, [], []), (0.2, 0.5, ["stem"], ["not quiet", "50% of its time", "left out"])],
)
def test_warns_of_noise(spread, share, too_noisy, warnings):
    errors = {
        "networks": 4,
        "mean_abs_error": 0.01,
        "max_abs_error": 0.02,
        "within_5pct": 1.0,
        "within_3pct": 1.0,
        "bias": 0.0,
        "spearman": 1.0,
    }
    both = {"unscaled": errors, "scaled": errors}
    header = TableHeader(
        layout="blocks",
        target="cpu",
        source="measured",
        device="chip",
        engine="null",
        date="2026-01-01",
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
    found = [line for line in error_lines(header) if line.startswith("warning")]
    assert len(found) == len(warnings)
    assert all(word in line for word, line in zip(warnings, found, strict=True))


@pytest.mark.slow
def test_picture(path, tmp_path, capsys):
    out = tmp_path / "t.png"
    assert show.main([str(path), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


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
    assert "run python -m latency.build" in capsys.readouterr().err
