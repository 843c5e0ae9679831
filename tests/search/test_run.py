"""The main job, in this process and with few trials; `test_search_run_errors` has its mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from safetensors.torch import load_file

from latency.table.load import load_table
from search.run import main, parser
from search.workflow import pipeline
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.torch_module import build_module

pytestmark = pytest.mark.slow

TRIALS = "30"
WORDS = {
    "arm": ["--target", "arm", "--budget", "41M", "--trials", TRIALS],
    "gpu": ["--target", "gpu", "--budget", "300M", "--budget", "3.5Mparams", "--trials", TRIALS],
}


def _without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("date", "commit")}


@pytest.fixture(scope="module", params=WORDS)
def job(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """(target, folder of a finished search)."""
    out = tmp_path_factory.mktemp("out") / "a folder" / request.param
    assert main([*WORDS[request.param], "--out", str(out)]) == 0
    yield request.param, out


def _record(out: Path) -> dict[str, Any]:
    return json.loads((out / "winners.json").read_text(encoding="utf-8"))


def test_files(job: tuple[str, Path]) -> None:
    _, out = job
    names = {path.name for path in out.iterdir()} - {"study.db-shm", "study.db-wal"}
    record = _record(out)
    files = {name for row in record["winners"] or [record["baseline"]] for name in row["files"]}
    assert names == {".lock", "study.db", "winners.json", "front.csv", "front.png", *files}


def test_winners_are_what_they_say(job: tuple[str, Path]) -> None:
    """Counts, latency and weights of each winner, from its architecture alone."""
    target, out = job
    table, space, record = load_table(target), ShuffleNetV2Space(), _record(out)
    assert 1 <= len(record["winners"]) <= 3
    for winner in record["winners"]:
        arch = space.parse(winner["architecture"])
        network = space.lower(arch)
        assert list(arch.genes) == winner["genes"]
        assert (network.flops, network.params) == (winner["flops"], winner["params"])
        assert winner["latency_s"] == pytest.approx(table.network_s(network.blocks), rel=1e-12)
        for name, limit in record["limits"].items():
            assert winner[name] <= limit
        weights, graph = winner["files"]
        build_module(network).load_state_dict(load_file(out / weights))
        onnx.checker.check_model(str(out / graph))
        assert 0 <= winner["onnx_max_relative_difference"] < 1e-4
    limit = 41e6 if target == "arm" else 300e6
    assert all(winner["flops"] <= limit for winner in record["winners"])


def test_every_latency_has_its_source(job: tuple[str, Path]) -> None:
    target, out = job
    record = _record(out)
    assert record["latency"]["target"] == target
    assert record["latency"]["source"] == "published"
    assert record["latency"]["batch"] == (1 if target == "arm" else 8)

    def walk(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, dict | list):
                yield from walk(inner)

    for row in (shelf := record.pop("shelf"))["rows"]:
        assert row["latency_source"] == "published"
        assert row["latency_mean_abs_error"] is None  # the table's is of other networks
    assert shelf["rows"]
    timed = [found for found in walk(record) if "speed_up" in found]
    assert len(timed) == len(record["winners"]) + 3
    for found in timed:
        assert found["latency_source"] == "published"
        assert 0 < found["latency_mean_abs_error"] < 1


def test_record_says_what_was_asked(job: tuple[str, Path]) -> None:
    target, out = job
    record = _record(out)
    budgets = [WORDS[target][i + 1] for i, w in enumerate(WORDS[target]) if w == "--budget"]
    assert record["budgets"] == budgets
    assert record["trials"] == int(TRIALS)
    assert (record["seed"], record["duplicates"], record["relaxed"]) == (0, 0, [])
    words = record["command"].split()[3:]
    again, first = vars(parser().parse_args(words)), vars(parser().parse_args(WORDS[target]))
    assert again == {**first, "score": "estimate"}


def test_the_same_command_again_tries_nothing_and_agrees(
    job: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    target, out = job
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix in (".onnx", ".csv")}
    record = _record(out)
    for name in ("winner-9.onnx", "winner-9.safetensors"):  # as of an answer with more winners
        (out / name).touch()
    assert main([*WORDS[target], "--out", str(out), "--format", "json"]) == 0
    assert not list(out.glob("winner-9.*"))
    stdout, stderr = capsys.readouterr()
    assert _without_time(json.loads(stdout)) == _without_time(record)
    assert f"holds {TRIALS} trials of this search" in stderr
    assert (out / "winners.json").read_text(encoding="utf-8") == stdout
    assert {name: (out / name).read_bytes() for name in before} == before


def test_more_trials_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 trials and then 20 more are the 30 of one command, --resume or not."""
    out, other = tmp_path / "out", tmp_path / "other"
    command = [*WORDS["arm"][:-1]]
    assert main([*command, "10", "--out", str(out)]) == 0
    assert main([*command, "30", "--out", str(out), "--resume", "--format", "json"]) == 0
    assert main([*command, "30", "--out", str(other)]) == 0
    assert _without_time(_record(out)) == _without_time(_record(other))
    capsys.readouterr()


def test_the_table_of_the_answer(
    job: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    target, out = job
    assert main([*WORDS[target], "--out", str(out)]) == 0
    text = capsys.readouterr().out
    record = _record(out)
    for winner in record["winners"]:
        assert winner["architecture"] in text
        assert f"{winner['name']}: {', '.join(winner['files'])}; ONNX against torch: " in text
    assert record["baseline"]["name"] in text
    assert "latency: published: " in text
    assert "nothing was trained" in text


def test_open_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--relax", "g4", "--relax", "g4", "--format", "json", "--out", str(tmp_path)]
    assert main([*WORDS["arm"], *words]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["relaxed"] == ["g4"]
    assert set(record["limits"]) == {"g1", "g2", "g3"}
    assert record["bound"] is None


def test_a_long_tabulation_is_said_beforehand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PATIENCE_S", 0.0)
    assert main([*WORDS["arm"][:-1], "1", "--relax", "g4", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "4 kinds of units to tabulate" in told  # residual or not, ReLU or not
    assert "GB; relax fewer guidelines" in told


def test_no_baseline_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the narrowest ShuffleNet v2 there is still an answer, without a speed-up."""
    words = ["--target", "arm", "--budget", "600Kparams", "--trials", "40"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "no ShuffleNet v2 is within the budget: no speed-up is given" in capsys.readouterr().out
    record = _record(tmp_path)
    assert record["baseline"] is None
    assert {winner["speed_up"] for winner in record["winners"]} == {None}


def test_a_folder_with_one_table_is_a_target(tmp_path: Path) -> None:
    folder = tmp_path / "my tables"
    folder.mkdir()
    from latency.table.load import shipped_tables

    for suffix in (".json", ".csv"):
        path = shipped_tables()["arm"].with_suffix(suffix)
        (folder / path.name).write_bytes(path.read_bytes())
    words = ["--target", str(folder), "--budget", "146M", "--trials", "10"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0


def test_default_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--target", "arm", "--budget", "146M", "--budget", "60ms", "--trials", "5"]
    assert main([*words, "--seed", "2"]) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["arm-146M-60ms-seed2"]


def test_ctrl_c_keeps_trials(tmp_path: Path, root: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "search.run", "--target", "arm", "--budget", "146M",
         "--trials", "100000", "--out", str(tmp_path)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A run in the background hands down an ignored SIGINT, and the child would keep it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wal = tmp_path / "study.db-wal"
    while child.poll() is None and not (wal.exists() and wal.stat().st_size > 500_000):
        pass
    child.send_signal(signal.SIGINT)
    try:
        stdout, stderr = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    assert stdout == ""
    line = stderr.splitlines()[-1]
    assert line.startswith("search.run: stopped; ")
    assert line.endswith("The same command continues")
    told = int(line.split()[2])
    assert told > 3
    words = ["--target", "arm", "--budget", "146M", "--trials", str(told), "--out", str(tmp_path)]
    assert main(words) == 0
    assert _record(tmp_path)["trials"] - told in (0, 1)
