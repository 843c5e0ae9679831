"""Labels in the search: the options, and the whole command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from latency.builder import build as builder_build
from latency.table import load as table_load
from latency.table.op_model import OpCostModel
from search.labels import pipeline as labels
from search.labels import trainer as labels_train
from search.labels.config import label_config
from search.labels.trainer import TrainingJob
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Problem, target_table
from search.result.rows import row_of
from search.result.text import print_rows
from search.run import config_of, main, parser
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.images import image_folder

WORDS = ["--target", "arm", "--budget", "41M", "--trials", "30", "--labels", "10", "--seeds", "2"]
SHORT = ["--input", "16", "--batch", "12", "--steps", "4", "--threads", "1", "--lr", "0.05"]

pytestmark = pytest.mark.usefixtures("image_cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images"), each=20)


def failed(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main([*WORDS[:4], *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


class TestOptions:
    def test_nothing_is_trained_without_images(self, capsys) -> None:
        told = failed(capsys, "--labels", "50", "--epochs", "2")
        assert told.startswith("search.run: --labels, --epochs needs --data")

    @pytest.mark.parametrize(
        ("more", "rule"),
        [
            (["--labels", "9"], "--labels must be from 10 to 10000, or 0 for none; got 9"),
            (["--labels", "1000000000"], "--labels must be from 10 to 10000"),
            (["--seeds", "0"], "--seeds must be from 1 to 1000; got 0"),
            (["--lr", "0"], "--lr must be from 1e-12 to 1000; got 0.0"),
            (["--retrain-epochs", "0"], "--retrain-epochs must be from 1e-06 to 1000000; got 0.0"),
            (
                ["--retrain-epochs", "inf"],
                "--retrain-epochs must be from 1e-06 to 1000000; got inf",
            ),
            # The winners are trained with the next three seeds.
            (["--seed", "4294967293"], "--seed must be from 0 to 4294967292; got 4294967293"),
            pytest.param([], "nowhere does not exist", marks=pytest.mark.slow),
        ],
    )
    def test_bad_values(self, capsys, tmp_path, more: list[str], rule: str) -> None:
        assert rule in failed(capsys, "--data", "nowhere", "--out", str(tmp_path), *more)

    @pytest.mark.parametrize("labels", [["--labels", "20"], ["--labels", "0"]])
    def test_words_parse_back(self, labels: list[str]) -> None:
        given = ["--data", "a folder", *labels, "--no-prune", "--lr", "0.1"]
        args = parser().parse_args([*WORDS[:4], *given])
        again = parser().parse_args([*WORDS[:4], *config_of(args).labels.words()])
        assert vars(again) == vars(args)


def test_a_host_table_just_made_is_the_one_on_disk(monkeypatch, arm: OpCostModel) -> None:
    """Or the study of the first run would be of another table for the second."""
    answers: list[object] = [FileNotFoundError("none yet"), arm]

    def load(target: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(table_load, "load_table", load)
    monkeypatch.setattr(builder_build, "ensure_host_table", lambda: "in memory")
    assert target_table("cpu") is arm


def test_accuracies_fit_in_the_table(problem: Problem, capsys) -> None:
    """The widest rows there are: accuracies beside networks run whole."""
    base = baseline(problem)
    assert base is not None
    row = row_of(problem, base.found, 0, base.name, "baseline")
    wide = replace(row, name="MobileNet v2 0.4 at 160x160", accuracy=((1, 100.0), (2, 85.86)))
    print_rows([replace(wide, measured_s=1.2345e-3)], problem.table.header)
    text = capsys.readouterr().out
    assert "92.93 +- 10.00 %" in text
    assert "\u2026" not in text


@pytest.mark.slow
def test_the_whole_command(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Labels, a score, winners and baseline trained alike; and the same command trains nothing."""
    out = tmp_path / "out"
    command = [*WORDS, *SHORT, "--data", str(folder), "--out", str(out)]
    assert main([*command, "--format", "json"]) == 0
    stdout, told = capsys.readouterr()
    assert "10 labels: about " in told
    assert "cross-validated" in told or "predictor: none" in told
    record = json.loads(stdout)
    rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    labelled = [each for each in rows if each["purpose"] == "label"]
    assert (len(labelled), {each["seed"] for each in labelled}) == (10, {0})
    assert {each["purpose"] for each in rows[:10]} == {"label"}
    # 20 images of each of 3 classes: 2 of each set aside for labels, the test part for winners
    assert {tuple(each["images"]) for each in labelled} == {(54, 6)}
    judged = [*record["winners"], record["baseline"]]
    assert len(rows) == 10 + 2 * len(judged)
    for each in judged:
        mine = [r for r in rows[10:] if r["architecture"] == each["architecture"]]
        measured = each["measured_accuracy"]
        assert measured["by_seed"] == {str(r["seed"]): r["accuracy"] for r in mine}
        assert set(measured["by_seed"]) == {"1", "2"}
        assert measured["mean"] == pytest.approx(sum(r["accuracy"] for r in mine) / 2)
        assert {tuple(r["images"]) for r in mine} == {(60, 60)}
        assert all((out / name).is_file() for name in each["trained"])
        assert each["latency_source"] == "published"
    assert "measured_accuracy" not in record["others"][0]
    assert record["accuracy"]["source"] == "measured"

    def never(*args: object, **more: object) -> None:
        raise AssertionError("trained twice")

    monkeypatch.setattr(labels_train.LabelTrainer, "run", never)
    monkeypatch.setattr(labels_train.LabelTrainer, "probe", never)
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "mean and deviation over seeds 1, 2; all trained alike" in text
    assert "points of accuracy against ShuffleNet v2" in text

    monkeypatch.undo()
    lost = out / judged[0]["trained"][1]
    lost.unlink()  # trained again, to the same accuracy
    assert main(command) == 0
    capsys.readouterr()
    assert lost.is_file()
    *before, again = map(json.loads, (out / "labels.jsonl").read_text().splitlines())
    assert before == rows
    (same,) = [each for each in rows if each["key"] == again["key"]]
    assert (again["accuracy"], again["curve"]) == (same["accuracy"], same["curve"])


@pytest.mark.slow
def test_killed_it_goes_on(
    folder: Path, tmp_path: Path, root: Path, space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    """Killed after some labels: those are kept as they are, none is trained again."""
    words = [*WORDS, *SHORT, "--data", str(folder), "--out", str(tmp_path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "search.run", *words]
    child = subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.DEVNULL)
    path = tmp_path / "labels.jsonl"
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        if path.exists() and len(path.read_text().splitlines()) >= 3:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = path.read_text().splitlines()
    assert 3 <= len(before) < 10
    wanted = label_config(config_of(parser().parse_args(words)).labels)
    assert wanted is not None
    small = Problem(space, arm, parse_budgets(["41M"]))
    labels.LabelPipeline.open(wanted, small, 0, tmp_path).score()
    after = path.read_text().splitlines()
    assert after[: len(before)] == before
    assert len({json.loads(line)["key"] for line in after}) == len(after) == 10


@pytest.mark.slow
def test_a_checkpoint_gives_the_same_label(folder: Path, tmp_path: Path, problem: Problem) -> None:
    """Stopped in the middle of a training and gone on, the label is the same to the last digit."""
    from evaluator.training.weights.checkpoint import CHECKPOINT

    args = parser().parse_args([*WORDS, *SHORT, "--data", str(folder)])
    wanted = label_config(config_of(args).labels)
    assert wanted is not None
    found = [labels.LabelPipeline.open(wanted, problem, 0, tmp_path) for _ in range(2)]
    network = problem.space.lower(problem.space.architecture(found[0].candidates.genes[3]))
    whole = found[0].labels.run(TrainingJob(network, 0, "label"))
    found[0].labels.forget(network.name, 0)

    def interrupt(share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt("half-way")

    with pytest.raises(KeyboardInterrupt, match="half-way"):
        found[1].labels.run(TrainingJob(network, 0, "label"), interrupt)
    assert (tmp_path / "training" / CHECKPOINT).exists()
    seen: list[float] = []
    again = found[1].labels.run(TrainingJob(network, 0, "label"), seen.append)
    assert seen[0] > 0.5
    varying = ("seconds", "date", "commit")
    assert {k: v for k, v in again.items() if k not in varying} == {
        k: v for k, v in whole.items() if k not in varying
    }
