"""Building a table with the null engine: exact results, refusals, exit codes."""

import re
from dataclasses import replace

import pytest

from latency import build
from latency.builder import build as builder
from latency.builder.build import BuildConfig, build_table, ensure_host_table
from latency.builder.campaign import Effort
from latency.builder.grid import Grid, space_targets
from latency.engines.null import RUN_S, block_s
from latency.ondevice import host
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError

EFFORT = Effort(rounds=3, min_passes=2, max_passes=3)
TINY = Grid("tiny", stem=8, first=16, rest=16, head=12)


@pytest.mark.slow
def test_a_build(tmp_path, monkeypatch):
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    lines = []
    out = tmp_path / "cpu.json"
    config = BuildConfig(engine="null", networks=4, command="test")
    table = build_table(config, grid=TINY, effort=EFFORT, log=lines.append)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cpu.csv", "cpu.json", "cpu.samples.jsonl",
    ]  # fmt: skip
    assert load_table("cpu").entries == table.entries
    assert "blocks and 10 networks on" in lines[0] and "about" in lines[0]
    grid = {t.block for t in space_targets(TINY, ShuffleNetV2Space())}
    assert grid <= table.entries.keys()
    for block, measured in table.entries.items():
        start_s = RUN_S if block.kind == "stem" else 0.0  # a network starts once
        assert measured.median_s == pytest.approx(block_s(block) + start_s, rel=2e-3)
    errors = table.header.network_error
    assert errors["on_grid"]["unscaled"]["max_abs_error"] < 0.03
    assert errors["held_out"]["scaled"]["networks"] == 4
    assert errors["left_out_blocks"]["median_abs_error"] < 0.05
    assert 0.95 < table.header.scale["factor"] < 1.05
    assert isinstance(ensure_host_table(log=lines.append), LatencyTable)
    assert replace(load_table(out).header, csv_sha256="") == table.header


class Done:
    """A campaign that ends at once."""

    def __init__(self, *_):
        pass

    def run(self, report):
        pass


def test_blocks_that_were_all_too_noisy_are_one_line(tmp_path, monkeypatch, capsys):
    def noisy(campaign, **_):
        raise MissingOpError("the table has no stem@224x224 c_out=8")

    monkeypatch.setattr(builder, "Campaign", Done)
    monkeypatch.setattr(builder, "finished_table", noisy)
    words = ["--engine", "null", "--coarse", "--networks", "2", "--out", str(tmp_path / "t")]
    assert build.main(words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("latency.build: no table: the table has no stem@224x224")
    assert "--fresh" in line


def test_ctrl_c_says_that_the_build_goes_on(tmp_path, monkeypatch, capsys):
    class Stopped(Done):
        def run(self, report):
            raise KeyboardInterrupt

    monkeypatch.setattr(builder, "Campaign", Stopped)
    words = ["--engine", "null", "--coarse", "--networks", "2", "--out", str(tmp_path / "t")]
    assert build.main(words) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "latency.build: stopped; the same command goes on from here"
    assert (tmp_path / "t.journal.jsonl").exists()


def test_an_out_below_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    words = ["--engine", "null", "--out", str(tmp_path / "file" / "t.json")]
    assert build.main(words) == 2
    folder = tmp_path / "file"
    assert capsys.readouterr().err == (
        f"latency.build: --out must be a folder, or a new one; got {folder}\n"
    )


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--device", "tpu"], 2, "a device must be cpu, gpu, ssh://.*; got 'tpu'"),
        (["--device", "ssh://"], 2, "a device must be cpu, gpu, ssh://.*; got 'ssh://'"),
        (["--device", "gpu", "--engine", "null"], 2, "--device gpu needs an engine"),
        (["--engine", "torch-cuda"], 2, "--device cpu needs an engine that runs there"),
        (["--engine", "null", "--dtype", "int4"], 2, "dtype of null must be one of float32"),
        (["--engine", "tvm"], 2, "engine must be one of onnxruntime, .*null; got 'tvm'"),
        (["--threads", "0"], 2, "`threads` must be at least 1"),
        (["--networks", "1"], 2, "needs `networks` >= 2"),
        (["--input", "224"], 2, "--input must be HEIGHTxWIDTH, 32x32 or more; got '224'"),
        (["--relax", "g5"], 2, "argument --relax: invalid choice: 'g5'"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, status, message):
    try:
        found = build.main(arguments)
    except SystemExit as stopped:  # the parser's own
        found = stopped.code
    assert found == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and re.search(message, err)


def test_emulated_machine_makes_no_table(monkeypatch):
    monkeypatch.setattr(host, "emulation", lambda: "so it is")
    with pytest.raises(ValueError, match=r"emulated \(so it is\): its wall time is not latency"):
        build_table(BuildConfig())
