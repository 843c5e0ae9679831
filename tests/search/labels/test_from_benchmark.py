"""A search whose labels are rows of the measured benchmark."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluator.measured_benchmark.rows import TrainingRow, write_rows
from search.labels import score as labels_score
from search.labels.score import labelled_architectures
from search.run import main
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import CostModel
from tests.helpers.images import image_folder
from tests.helpers.measured_rows import ROW

SPACE = ShuffleNetV2Space()
ARM = ["--target", "arm", "--budget", "41M", "--trials", "40"]


def benchmark(count: int = 24) -> list[TrainingRow]:
    """Random networks whose validation accuracy is what the depth of stage 3 says, test accuracy
    the opposite."""
    genes = SPACE.sample(count, np.random.default_rng(5))
    flops = CostModel(SPACE).costs(genes).flops
    rows = []
    for index in range(count):
        arch = SPACE.architecture(genes[index])
        depth = float(SPACE.value(arch, "depth3"))
        rows.append(
            replace(
                ROW,
                name=f"no. {index}",
                architecture=SPACE.text(arch),
                validation=40 + depth,
                accuracy=80 - depth,
                flops_224=int(flops[index]),
            )
        )
    return rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    write_rows(path, benchmark())
    return path


def names(folder: Path) -> list[str]:
    """The files of a search, without those that SQLite has while a study is open."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(("-shm", "-wal")))


def test_seeds_are_kept_together_and_other_rows_left_out() -> None:
    first, second = benchmark(2)
    rows = [
        first,
        replace(first, seed=1, validation=60.0),
        replace(first, recipe="long", validation=99.0),
        replace(second, validation=float("nan")),
        replace(ROW, architecture="MobileNet v2 1.0", group="paper"),
    ]
    found = labelled_architectures(SPACE, rows)
    assert {text: values for text, (_, values) in found.items()} == {
        first.architecture: [first.validation, 60.0]
    }


def test_the_search_follows_the_validation_accuracies(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deep stages win, which have the lowest test accuracy and not the highest closed form."""
    out = tmp_path / "out"
    words = [*ARM, "--labels-from", str(file), "--out", str(out)]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "24 labels; rank correlation with their accuracy:" in told.err
    assert "Not measured" in told.out
    record = json.loads((out / "winners.json").read_text())
    assert record["accuracy"]["source"] == "predicted"
    assert record["accuracy"]["labels"]["labels"] == 24
    assert record["accuracy"]["labels"]["score"] == "predictor"
    assert "--labels-from" in record["command"]
    best = SPACE.parse(record["winners"][-1]["architecture"])
    assert int(SPACE.value(best, "depth3")) >= 10
    before = names(out)
    assert main([*words, "--resume"]) == 0
    assert names(out) == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (9, "--labels-from must have at least 10 networks of the space .* has 9"),
        (0, "--labels-from must be rows of evaluator.measured; there is no"),
    ],
)
def test_too_few_or_none(
    rows: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    if rows:
        write_rows(path, benchmark(rows))
    assert main([*ARM, "--labels-from", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1

    assert re.search(message, error)


def test_the_shipped_rows_go_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labels_score, "SHIPPED", tmp_path / "none.csv")
    assert main([*ARM, "--labels-from", "shipped", "--out", str(tmp_path / "out")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_labels_are_trained_or_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*ARM, "--labels-from", "a.csv", "--labels", "20", "--data", str(tmp_path)]
    assert main(words) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_only_the_answer_is_trained(
    given: bool,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With labels from a file, or with none and the estimate as the score."""
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    images = image_folder(tmp_path / "images", each=20)
    out = tmp_path / "out"
    labels = ["--labels-from", str(file)] if given else ["--labels", "0"]
    words = [*ARM, *labels, "--data", str(images), "--out", str(out), "--seeds", "1"]
    assert main([*words, "--steps", "2", "--batch", "8", "--drop", "1", "--threads", "1"]) == 0
    record = json.loads((out / "winners.json").read_text())
    told = record["accuracy"]["labels"]
    assert told["score"] == ("predictor" if given else "estimate")
    assert told["labels"] == (24 if given else 0)
    rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    assert len(rows) == len(record["winners"]) + 1
    assert "label" not in {row["purpose"] for row in rows}
    assert "points of accuracy against ShuffleNet v2 0.5x" in capsys.readouterr().out
