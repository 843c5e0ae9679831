"""Building a table with the null engine: exact results, refusals, exit codes."""

import errno
import os
import re
from dataclasses import replace

import pytest

from latency import build, validate
from latency.builder import build as builder
from latency.builder.build import build_table, ensure_host_table
from latency.builder.campaign import Effort
from latency.builder.config import BuildConfig
from latency.builder.grid import Grid, space_targets
from latency.builder.memory import needed_bytes
from latency.engines.null import RUN_S, block_s
from latency.ondevice import host
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError
from space.common.files import locked
from space.network.block import Block

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
    def noisy(*_, **__):
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
        (["--threads", "0"], 2, "--threads must be from 1 to 1024; got 0"),
        (["--threads", "100000"], 2, "--threads must be from 1 to 1024; got 100000"),
        (["--batch", "100000000"], 2, "--batch must be from 1 to 65536; got 100000000"),
        (["--networks", "1"], 2, "--networks must be from 2 to 1000; got 1"),
        (["--networks", "-1"], 2, "--networks must be from 2 to 1000; got -1"),
        (["--networks", "100000000"], 2, "--networks must be from 2 to 1000; got 100000000"),
        (["--seed", "-1"], 2, "--seed must be from 0 to 4294967295; got -1"),
        (
            ["--input", "224"],
            2,
            "--input must be HEIGHTxWIDTH, each from 32 .*; got '224'",
        ),
        (
            ["--input", "0x0"],
            2,
            "--input must be HEIGHTxWIDTH, each from 32 .*; got '0x0'",
        ),
        (["--input", "8x224"], 2, "--input must be .* from 32 to 4096 pixels; got '8x224'"),
        (["--input", "100000x100000"], 2, "--input must be .*; got '100000x100000'"),
        (["--channels", "0"], 2, "--channels must be from 1 to 1024; got 0"),
        (["--classes", "0"], 2, "--classes must be from 1 to 1000000; got 0"),
        (["--engine", ""], 2, "--engine must not be empty"),
        (["--device", ""], 2, "--device must not be empty"),
        (["--device", "cpu:x"], 2, "a device must be cpu, gpu, .*; got 'cpu:x'"),
        (["--out", ""], 2, "--out must not be empty"),
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


def test_two_builds_of_one_table(tmp_path, capsys):
    """The second measures nothing and leaves the first one's journal alone."""
    out = tmp_path / "t.json"
    words = ["--engine", "null", "--coarse", "--networks", "2", "--out", str(out), "--fresh"]
    journal = tmp_path / "t.journal.jsonl"
    with locked(out, "build"):
        journal.write_text("begun\n")
        assert build.main(words) == 2
    assert journal.read_text() == "begun\n"
    err = capsys.readouterr().err
    assert err == (
        f"latency.build: another build is running in {out}: wait for it, or choose another --out\n"
    )


def test_more_memory_than_there_is(tmp_path, capsys):
    words = ["--coarse", "--batch", "65536", "--networks", "2", "--out", str(tmp_path / "t")]
    assert build.main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        r"latency\.build: --batch 65536 needs about \d+\.\d GB of memory for these networks; "
        r"got \d+\.\d GB free: use a smaller --batch or smaller images$",
        line,
    )
    assert not list(tmp_path.iterdir())


def test_memory_by_hand():
    """A stem and an image in float32: three copies of 24 x 3 x 9 weights and 48 numbers of the
    batch norm, and of each image 3 x 8 x 8 numbers and twice the maps of its largest op."""
    stem = Block("stem", 8, 8, c_out=24, pool=0)
    maps = 3 * 8 * 8 + 24 * 4 * 4
    expected = 4 * (3 * (24 * 27 + 48) + 5 * (3 * 64 + 2 * maps))
    assert needed_bytes([(stem,), (stem,)], 5) == expected
    assert needed_bytes([(stem,), (stem, Block("conv", 4, 4, c_in=24, c_out=8))], 5) > 2 * expected


def test_a_full_disk_ends_the_build_in_one_line(tmp_path, monkeypatch, capsys):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    words = ["--engine", "null", "--coarse", "--networks", "2", "--out", str(tmp_path / "t")]
    assert build.main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    path = tmp_path / "t.journal.jsonl"
    assert line == f"latency.build: {path}: No space left on device"
    assert [p.name for p in tmp_path.iterdir()] == ["t.journal.jsonl"]


@pytest.mark.slow
def test_a_table_of_other_images_and_classes(tmp_path, capsys):
    """Stem and head differ; nothing else is known to it."""
    out = tmp_path / "t.json"
    config = BuildConfig(engine="null", input="64x32", channels=1, classes=10, networks=3, out=out)
    table = build_table(config, grid=TINY, effort=EFFORT, log=lambda line: None)
    header = load_table(out).header
    assert (header.input, header.channels, header.classes) == ("64x32", 1, 10)
    assert header.label.endswith("1 thread, input 64x32, 1 channel, 10 classes")
    assert {b["c_in"] for b in table.entries if b.kind == "stem"} == {1}
    assert {b["classes"] for b in table.entries if b.kind == "head"} == {10}
    assert header.network_error["held_out"]["unscaled"]["max_abs_error"] < 0.03
    usual = ShuffleNetV2Space(height=64, width=32)
    for other, block in (
        (replace(usual, channels=1), "head@2x1 .*"),
        (replace(usual, classes=10), "stem@64x32 "),
    ):
        network = other.lower(other.point(widths=(48, 96, 192)))
        with pytest.raises(MissingOpError, match=f"has no {block}"):
            table.network_s(network.blocks)
    own = config.space
    network = own.lower(own.point(widths=(48, 96, 192)))
    exact = sum(map(block_s, network.blocks)) + RUN_S
    assert table.network_s(network.blocks) == pytest.approx(exact, rel=0.03)
    assert validate.main(["--table", str(out), "--networks", "4"]) == 0
    assert "verdict: the table holds" in capsys.readouterr().out


def test_emulated_machine_makes_no_table(monkeypatch):
    monkeypatch.setattr(host, "emulation", lambda: "so it is")
    with pytest.raises(ValueError, match=r"emulated \(so it is\): its wall time is not latency"):
        build_table(BuildConfig())
