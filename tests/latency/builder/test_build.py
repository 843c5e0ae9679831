"""Building a table with the null engine: exact results, refusals, exit codes."""

import subprocess
import sys
from dataclasses import replace

import pytest

from latency import build
from latency.builder.campaign import Effort
from latency.builder.grid import Grid, space_targets
from latency.engines.null import RUN_S, block_s
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError

EFFORT = Effort(rounds=3, min_passes=2, max_passes=3)
TINY = Grid("tiny", stem=8, first=16, rest=16, head=12)


@pytest.mark.slow
def test_whole_build(tmp_path, monkeypatch):
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    said = []
    out = tmp_path / "cpu.json"
    table = build.build_table(
        engine_name="null", networks=4, say=said.append, grid=TINY, effort=EFFORT, command="test"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cpu.csv", "cpu.json", "cpu.samples.jsonl",
    ]  # fmt: skip
    assert load_table("cpu").entries == table.entries
    assert "blocks and 10 networks on" in said[0] and "about" in said[0]
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
    assert isinstance(build.ensure_host_table(say=said.append), LatencyTable)
    assert replace(load_table(out).header, csv_sha256="") == table.header


def test_blocks_that_were_all_too_noisy_are_told_in_a_line(monkeypatch, capsys):
    def noisy(**_):
        raise MissingOpError("the table has no stem@224x224 c_out=8")

    monkeypatch.setattr(build, "build_table", noisy)
    assert build.main(["--engine", "null"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "no stem@224x224" in told and "--fresh" in told


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
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, status, message):
    import re

    assert build.main(arguments) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and re.search(message, err)


def test_emulated_machine_makes_no_table(monkeypatch):
    monkeypatch.setattr("latency.ondevice.host.emulation", lambda: "so it is")
    with pytest.raises(ValueError, match=r"emulated \(so it is\): its wall time is not latency"):
        build.build_table()


@pytest.mark.parametrize("module", ["latency.build", "latency.show"])
def test_help_loads_nothing_heavy(module):
    code = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'torch', 'rich', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m latency." in done.stdout
