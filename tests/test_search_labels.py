"""Labels in the search: what is chosen, kept, stopped and fitted, and the whole command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import image_folder

from latency.op_model import OpCostModel
from search import labels, labels_train
from search.baseline import baseline
from search.budget import parse_budgets
from search.labels_choose import chosen
from search.labels_file import Store, key
from search.labels_options import wanted as wanted_of
from search.labels_options import words
from search.labels_prune import Pruning, completed
from search.labels_score import score_of
from search.labels_show import about
from search.problem import CLOSED_FORM, Evaluation, Floats, Problem
from search.report import print_rows, row_of
from search.run import main, parser, target_table
from space.shufflenet_v2 import ShuffleNetV2Space

WORDS = ["--target", "arm", "--budget", "41M", "--trials", "30", "--labels", "10", "--seeds", "2"]
SHORT = ["--input", "16", "--batch", "12", "--steps", "4", "--threads", "1", "--lr", "0.05"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images"), each=20)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def row(name, accuracy, curve=None, pruned=False):
    curve = [accuracy] if curve is None else curve
    return {
        "key": name, "architecture": name, "seed": 0, "accuracy": accuracy, "curve": curve,
        "pruned": pruned, "diverged": False,
    }  # fmt: skip


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
            (["--labels", "9"], "--labels must be at least 10, or 0 for none; got 9"),
            (["--seeds", "0"], "--seeds must be at least 1; got 0"),
            (["--lr", "0"], "`lr` must be above 0; got 0.0"),
            (["--retrain-epochs", "0"], "--retrain-epochs must be above 0"),
            pytest.param([], "nowhere does not exist", marks=pytest.mark.slow),
        ],
    )
    def test_bad_values(self, capsys, tmp_path, more: list[str], rule: str) -> None:
        assert rule in failed(capsys, "--data", "nowhere", "--out", str(tmp_path), *more)

    @pytest.mark.parametrize("labels", [["--labels", "20"], ["--labels", "0"]])
    def test_words_parse_back(self, labels: list[str]) -> None:
        given = ["--data", "a folder", *labels, "--no-prune", "--lr", "0.1"]
        args = parser().parse_args([*WORDS[:4], *given])
        again = parser().parse_args([*WORDS[:4], *words(args)])
        assert vars(again) == vars(args)


@pytest.fixture(scope="module")
def found(problem: Problem) -> Evaluation:
    return chosen(problem, 24, 0, baseline(problem))


@pytest.mark.slow
class TestChosen:
    def test_different_and_within_every_limit(self, problem: Problem, found) -> None:
        assert len(np.unique(found.genes, axis=0)) == 24
        assert problem.evaluate(found.genes).feasible.all()

    def test_the_baseline_is_first(self, problem: Problem, found) -> None:
        assert (found.genes[0] == baseline(problem).found.genes[0]).all()

    def test_more_labels_keep_the_first(self, problem: Problem, found) -> None:
        fewer = chosen(problem, 10, 0, baseline(problem))
        assert (fewer.genes == found.genes[:10]).all()
        assert not (chosen(problem, 10, 1, baseline(problem)).genes == fewer.genes).all()

    def test_half_are_nearer_to_the_front_than_a_random_network(self, problem: Problem, found):
        rng = np.random.default_rng(5)
        drawn = problem.evaluate(problem.space.sample(20_000, rng))
        fair = drawn.score[drawn.feasible] / np.log(drawn.costs.latency_s[drawn.feasible] * 1e6)
        mine = found.score[1:] / np.log(found.costs.latency_s[1:] * 1e6)
        near, spread = mine[1::2], mine[0::2]
        assert np.median(near) > np.quantile(fair, 0.9)
        assert np.quantile(fair, 0.05) < np.median(spread) < np.quantile(fair, 0.95)

    def test_they_spread_over_every_axis(self, problem: Problem, found) -> None:
        sizes = problem.space.open_sizes
        for column in np.flatnonzero(sizes > 1):
            assert np.ptp(found.genes[:, column]) >= 0.5 * (sizes[column] - 1)


class TestStore:
    def test_round_trip(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "a.jsonl")
        store.add(row("x", 50.0))
        store.add(row("y", 60.0))
        assert Store.open(store.path).rows == {"x": row("x", 50.0), "y": row("y", 60.0)}

    @pytest.mark.parametrize("line", ["{", "[]", '{"key": "a"}', "7"])
    def test_damage_names_the_line(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text(json.dumps(row("x", 1.0)) + f"\n{line}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="line 2 must be a training"):
            Store.open(path)

    def test_whatever_matters_is_in_the_key(self) -> None:
        keys = {
            key("a", {"lr": 0.1}, 0, ["x", "y"], ["c", "d"]),
            key("b", {"lr": 0.1}, 0, ["x", "y"], ["c", "d"]),
            key("a", {"lr": 0.2}, 0, ["x", "y"], ["c", "d"]),
            key("a", {"lr": 0.1}, 1, ["x", "y"], ["c", "d"]),
            key("a", {"lr": 0.1}, 0, ["x", "z"], ["c", "d"]),
            key("a", {"lr": 0.1}, 0, ["x", "y"], ["c", "e"]),
        }
        assert len(keys) == 6


class TestPruning:
    LATENCIES = np.linspace(1.0, 3.0, 30)

    def test_short_trainings_run_to_their_end(self) -> None:
        assert Pruning(self.LATENCIES, 3).judge(1.0) is None

    def test_a_network_is_compared_with_its_own_third(self) -> None:
        """Under the median of the slow ones a fast network goes on, a slow one stops."""
        pruning = Pruning(self.LATENCIES, 6)
        for accuracy in (20.0, 22.0, 24.0, 26.0):
            pruning.recall(1.1, row("fast", accuracy, [accuracy] * 6))
            pruning.recall(2.9, row("slow", accuracy + 40, [accuracy + 40] * 6))
        fast, slow = pruning.judge(1.2), pruning.judge(2.8)
        assert [fast(epoch, 40.0) for epoch in range(1, 6)] == [False] * 5
        assert not slow(1, 40.0)  # a third of the training is run whatever it gives
        assert slow(3, 40.0)

    def test_what_was_stopped_is_carried_to_the_end(self) -> None:
        """Errors halve from epoch 2 to the last: 60 % error then is 30 % in the end."""
        rows = [row("a", 100 - e / 2, [0.0, 100 - e, 100 - e / 2]) for e in (20, 30, 40, 50, 64)]
        got = completed([*rows, row("b", 40.0, [0.0, 40.0], pruned=True)])
        assert got[:5] == pytest.approx([90, 85, 80, 75, 68])
        assert got[5] == pytest.approx(70.0)


@pytest.mark.slow
class TestScore:
    def labelled(self, problem: Problem, found: Evaluation, noise: float, sign: float) -> Floats:
        """Accuracies that fall or rise with depth, unlike the closed form; and noise."""
        depth = found.genes[:, [slot.name == "depth3" for slot in problem.space.slots]][:, 0]
        rng = np.random.default_rng(0)
        return 50 + sign * depth + noise * rng.normal(size=len(found))

    def test_the_predictor_is_used_where_it_ranks_better(
        self, problem: Problem, found, tmp_path
    ) -> None:
        accuracy = self.labelled(problem, found, 0.1, -2.0)
        score, judged = score_of(problem, found, accuracy, stopped=0, told=["a"], folder=tmp_path)
        assert judged.better and judged.predictor > 0.7
        others = problem.space.sample(200, np.random.default_rng(3))
        depth = others[:, problem.space.position("depth3")]
        predicted = score(problem.space, others, problem.evaluate(others).costs)
        assert np.corrcoef(predicted, depth)[0, 1] < -0.8
        again, _ = score_of(problem, found, accuracy, stopped=0, told=["a"], folder=tmp_path)
        assert again == score
        assert (again(problem.space, others, problem.evaluate(others).costs) == predicted).all()
        other, _ = score_of(problem, found, accuracy + 1, stopped=0, told=["a"], folder=tmp_path)
        assert other.identity != score.identity

    def test_noise_leaves_the_closed_form(self, problem: Problem, found, tmp_path) -> None:
        accuracy = 50 + 5 * (found.score - found.score.mean())
        score, judged = score_of(problem, found, accuracy, stopped=3, told=["a"], folder=tmp_path)
        assert judged.closed_form == pytest.approx(1.0)
        assert score is CLOSED_FORM
        assert any("no better than the closed form" in line for line in judged.lines())
        assert "3 of them stopped early" in judged.lines()[0]

    def test_small_networks_ahead_are_told(self, problem: Problem, found, tmp_path) -> None:
        for sign, warned in ((-1, True), (1, False)):
            accuracy = 50 + sign * np.log(found.costs.flops)
            _, judged = score_of(
                problem, found, accuracy, stopped=0, told=[str(sign)], folder=tmp_path
            )
            assert judged.flops == pytest.approx(sign)
            assert any(line.startswith("warning: ") for line in judged.lines()) == warned

    def test_equal_labels_fit_nothing(self, problem: Problem, found, tmp_path) -> None:
        accuracy = self.labelled(problem, found, 0.0, 0.0)
        score, judged = score_of(problem, found, accuracy, stopped=0, told=["a"], folder=tmp_path)
        assert score is CLOSED_FORM
        assert "accuracies must differ" in judged.why


def test_durations() -> None:
    told = {0.2: "1 s", 40: "40 s", 2400: "40 min", 9000: "2.5 h", 90000: "25 h"}
    assert {seconds: about(seconds) for seconds in told} == told


def test_a_host_table_just_made_is_the_one_on_disk(monkeypatch, arm: OpCostModel) -> None:
    """Or the study of the first run would be of another table for the second."""
    answers: list[object] = [FileNotFoundError("none yet"), arm]

    def load(target: str) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("latency.table.load_table", load)
    monkeypatch.setattr("latency.build.ensure_host_table", lambda: "in memory")
    assert target_table("cpu") is arm


def test_accuracies_fit_in_the_table(problem: Problem, capsys) -> None:
    """The widest rows there are: accuracies beside networks run whole."""
    base = baseline(problem)
    assert base is not None
    row = row_of(problem, base.found, 0, base.name, "baseline", None)
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

    monkeypatch.setattr(labels_train.Trainer, "run", never)
    monkeypatch.setattr(labels_train.Trainer, "probe", never)
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "mean and deviation over seeds 1, 2; all trained alike" in text
    assert "points of accuracy against ShuffleNet v2" in text


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
    wanted = wanted_of(parser().parse_args(words))
    assert wanted is not None
    small = Problem(space, arm, parse_budgets(["41M"]))
    labels.Labelling.open(wanted, small, 0, tmp_path).scored()
    after = path.read_text().splitlines()
    assert after[: len(before)] == before
    assert len({json.loads(line)["key"] for line in after}) == len(after) == 10


@pytest.mark.slow
def test_a_checkpoint_gives_the_same_label(folder: Path, tmp_path: Path, problem: Problem) -> None:
    """Stopped in the middle of a training and gone on, the label is the same to the last digit."""
    from evaluator.train_files import CHECKPOINT

    args = parser().parse_args([*WORDS, *SHORT, "--data", str(folder)])
    wanted = wanted_of(args)
    assert wanted is not None
    found = [labels.Labelling.open(wanted, problem, 0, tmp_path) for _ in range(2)]
    network = problem.space.lower(problem.space.architecture(found[0].candidates.genes[3]))
    whole = found[0].labels.run(network, 0, purpose="label")
    found[0].labels.forget()

    def interrupt(share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt("half-way")

    with pytest.raises(KeyboardInterrupt, match="half-way"):
        found[1].labels.run(network, 0, purpose="label", progress=interrupt)
    assert (tmp_path / "training" / CHECKPOINT).exists()
    seen: list[float] = []
    again = found[1].labels.run(network, 0, purpose="label", progress=seen.append)
    assert seen[0] > 0.5
    varying = ("seconds", "date", "commit")
    assert {k: v for k, v in again.items() if k not in varying} == {
        k: v for k, v in whole.items() if k not in varying
    }
