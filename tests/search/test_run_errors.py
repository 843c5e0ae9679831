"""Mistakes of search.run: one line on stderr, nothing on stdout, nothing overwritten."""

from __future__ import annotations

import gc
import json
import os
import re
from pathlib import Path

import pytest

import latency.table.load
from latency.table.load import shipped_tables
from search.run import main
from space.common.files import locked, write_atomic

ARM = ["--target", "arm", "--budget", "146M", "--trials", "3"]
Capture = pytest.CaptureFixture[str]


def _fails(words: list[str], status: int, told: str, capsys: Capture) -> None:
    try:
        got = main(words)
    except SystemExit as error:  # argparse
        got = error.code if isinstance(error.code, int) else 1
    stdout, stderr = capsys.readouterr()
    *talk, line = stderr.splitlines()
    assert [each for each in talk if not each.startswith(TALK)] == []
    assert line.startswith("search.run: ")
    assert re.search(told, line), line
    assert stdout == ""
    assert got == status


def _snapshot(folder: Path) -> dict[str, bytes]:
    gc.collect()  # SQLite removes its write-ahead log when the last connection is gone
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.suffix != ".db-shm"
    }


TALK = ("searching", "the closed form is the score: ")
FORMS = "a budget must be FLOPs such as 146M .*30ms.*; got "


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "-5M"], FORMS + "'-5M'"),
        (["--budget=-30ms"], FORMS + "'-30ms'"),
        (["--budget", "146"], FORMS + "'146'"),
        (["--budget", "146m"], FORMS + "'146m'"),
        (["--budget", "0M"], FORMS + "'0M'"),
        (["--budget", ""], "--budget must not be empty"),
        (["--budget", "1G"], "each cost takes one budget; got 146M and 1G"),
        (["--trials", "0"], "--trials must be from 1 to 10000000; got 0"),
        (["--trials", "-3"], "--trials must be from 1 to 10000000; got -3"),
        (["--trials", "2.5"], "argument --trials: invalid int value: '2.5'"),
        (["--seed", "-1"], "--seed must be from 0 to 4294967295; got -1"),
        (["--relax", "g5"], "argument --relax: invalid choice: 'g5' .*g1.*g4"),
        (["--sampler", "x"], "argument --sampler: invalid choice: 'x' .*prescreened"),
        (["--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["--resume"], r"--resume needs a study in .*; there is no .*study\.db"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_usage(words: list[str], told: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new"
    _fails([*ARM, "--out", str(out), *words], 2, told, capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nope", r"unknown target 'nope': must be one of arm, .*gpu.* cpu, or the path"),
        ("ARM", "unknown target 'ARM'"),
        ("no/such.json", r"no/such\.json: cannot be read: No such file"),
        ("/dev/null", "/dev/null|line 1"),
    ],
)
def test_unknown_target(target: str, told: str, tmp_path: Path, capsys: Capture) -> None:
    words = ["--target", target, "--budget", "146M", "--out", str(tmp_path / "new")]
    _fails(words, 2, told, capsys)
    assert not (tmp_path / "new").exists()


def test_target_is_required(capsys: Capture) -> None:
    _fails(["--budget", "1M"], 2, "the following arguments are required: --target", capsys)


def test_folders_of_no_or_two_tables(tmp_path: Path, capsys: Capture) -> None:
    for folder, count in ((tmp_path, 0), (latency.table.load.SHIPPED, len(shipped_tables()))):
        told = rf"must hold one table .*found {count}"
        _fails(["--target", str(folder), "--budget", "1M"], 2, told, capsys)


def _copy(folder: Path) -> Path:
    for suffix in (".json", ".csv"):
        path = shipped_tables()["arm"].with_suffix(suffix)
        (folder / f"t{suffix}").write_bytes(path.read_bytes())
    return folder / "t.json"


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("t.csv", ",", ";", r"t\.csv"),
        ("t.csv", "e-09", "e-08", r"t\.csv: does not match the checksum"),
        ("t.json", '"layout"', '"lay', r"t\.json: line 2: not JSON"),
        ("t.json", '"schema": 1', '"schema": 99', r"t\.json: `schema` must be 1; got 99"),
        ("t.json", '"ops"', '"blocks"', r"t\.csv, line 1: columns must be"),
    ],
)
def test_corrupted_tables(
    name: str, old: str, new: str, told: str, tmp_path: Path, capsys: Capture
) -> None:
    path = _copy(tmp_path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    out = tmp_path / "out"
    _fails(["--target", str(path), "--budget", "1M", "--out", str(out)], 2, told, capsys)
    assert not out.exists()


@pytest.mark.parametrize("value", ["fast", "nan", "-1e-9", ""])
def test_bad_coefficients_name_file_and_line(value: str, tmp_path: Path, capsys: Capture) -> None:
    path = _copy(tmp_path)
    rows = path.with_suffix(".csv").read_text(encoding="utf-8").splitlines()
    term, _, unit = rows[2].split(",", 2)
    write_atomic(path.with_suffix(".csv"), "\n".join([*rows[:2], f"{term},{value},{unit}"]))
    header = {**json.loads(path.read_text(encoding="utf-8")), "csv_sha256": ""}
    path.write_text(json.dumps(header), encoding="utf-8")
    _fails(["--target", str(path), "--budget", "1M"], 2, r"t\.csv", capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budgets", "told"),
    [
        (["3M"], r"flops [\d.]+M where at most 3M"),
        (["1ms"], r"latency_s [\d.]+ ms where at most 1 ms"),
        (["100Kparams"], r"params [\d.]+K where at most 100K"),
        (["3M", "1ms"], r"flops .* and latency_s [\d.]+ ms where at most 1 ms"),
    ],
)
def test_no_network_meets_the_budget(
    budgets: list[str], told: str, tmp_path: Path, capsys: Capture
) -> None:
    words = [word for budget in budgets for word in ("--budget", budget)]
    told = f"no architecture meets the budget: 15 tried, the nearest has {told}"
    command = ["--target", "arm", *words, "--trials", "15", "--out", str(tmp_path)]
    _fails(command, 1, told, capsys)
    left = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert left == {".lock", "study.db"}


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_out_is_a_file(below: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    _fails([*ARM, "--out", str(path / below)], 2, "--out must be a folder, or a new one", capsys)
    assert path.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_out_is_read_only(tmp_path: Path, capsys: Capture) -> None:
    tmp_path.chmod(0o500)
    try:
        _fails([*ARM, "--out", str(tmp_path)], 2, "Permission denied", capsys)
        _fails([*ARM, "--out", str(tmp_path / "new")], 2, "Permission denied", capsys)
    finally:
        tmp_path.chmod(0o700)


def test_out_is_in_use(tmp_path: Path, capsys: Capture) -> None:
    with locked(tmp_path, "search"):
        _fails([*ARM, "--out", str(tmp_path)], 2, "another search is running in", capsys)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seed", "1"], "seed: stored 0, requested 1"),
        (["--budget", "60ms"], "constraints: "),
        (["--relax", "g1"], "slots: "),
        (["--target", "gpu"], "target: "),
        (["--sampler", "random"], "sampler: stored prescreened, requested random"),
    ],
)
def test_a_study_of_something_else(
    words: list[str], told: str, finished: Path, capsys: Capture
) -> None:
    before = _snapshot(finished)
    for resume in ([], ["--resume"]):
        command = [*ARM, *words, "--out", str(finished), *resume]
        _fails(command, 2, f"was created with other settings .*{told}", capsys)
    assert _snapshot(finished) == before


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"garbage " * 100, b"SQLite format 3\0" + b"\1" * 5000])
def test_garbage_for_a_study(content: bytes, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "study.db").write_bytes(content)
    for resume in ([], ["--resume"]):
        told = r"study\.db must be a study this program can open and write; got: "
        _fails([*ARM, "--out", str(tmp_path), *resume], 2, told, capsys)
    assert _snapshot(tmp_path) == {"study.db": content}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search."""
    out = tmp_path_factory.mktemp("finished")
    assert main([*ARM, "--out", str(out)]) == 0
    return out


def test_a_bad_limits_file(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "limits.json").write_text('{"schema": 1}')
    words = ["--target", "arm", "--budget", "41M", "--guidelines", str(tmp_path / "limits.json")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "must be an object with limits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
