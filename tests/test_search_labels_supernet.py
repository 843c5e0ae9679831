"""A search whose labels come from the shared weights of a supernet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluator import supernet
from evaluator.supernet_run import Labels
from search.run import main
from space.shufflenet_v2 import ShuffleNetV2Space

SPACE = ShuffleNetV2Space()
LIMITS = "stem=8 width2=24-32 width3=48-56 width4=96-104 depth=2-4 kernel=3,5 head=256"
ARM = ["--target", "arm", "--budget", "41M", "--trials", "30"]
SHORT = ["--seeds", "1", "--epochs", "1", "--batch", "8", "--input", "16", "--threads", "1"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("image_cache")]


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("supernet")
    words = ["--data", str(images), "--out", str(out), "--epochs", "1", "--limits", LIMITS]
    assert supernet.main([*words, "--input", "16", "--batch", "8", "--threads", "1"]) == 0
    return out


def depth3(row: np.ndarray) -> int:
    return int(SPACE.value(SPACE.architecture(row), "depth3"))


def search(images: Path, trained: Path, out: Path, *more: str) -> int:
    words = [*ARM, "--data", str(images), "--labels-from", str(trained), "--labels", "24"]
    return main([*words, "--out", str(out), *SHORT, *more])


def test_the_search_follows_the_labels_within_the_supernet(
    images: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Labels that favour few units in stage 3, which the closed form does not."""
    asked: list[int] = []

    def accuracies(self: Labels, genes: np.ndarray) -> np.ndarray:
        asked.append(len(genes))
        return np.array([80.0 - 5 * depth3(row) for row in genes])

    monkeypatch.setattr(Labels, "accuracies", accuracies)
    assert search(images, trained, tmp_path) == 0
    told = capsys.readouterr()
    assert sum(asked) == 24
    assert "score: predicted accuracy with shared weights in %, from 24 labels" in told.out
    record = json.loads((tmp_path / "winners.json").read_text())
    names = [row["architecture"] for row in record["winners"]]
    genes = np.array([SPACE.parse(name).genes for name in names])
    allowed = {"stem": {8}, "width2": {24, 28, 32}, "kernel4": {3, 5}, "head": {256}}
    for row in genes:
        arch = SPACE.architecture(row)
        assert all(SPACE.value(arch, slot) in values for slot, values in allowed.items())
    assert min(depth3(row) for row in genes) == 2
    labels = record["accuracy"]["labels"]
    assert labels["supernet"] == "last.safetensors" and labels["labels"] == 24
    assert len(labels["sha256"]) == 64
    # Again, with more labels: those there are come from the file.
    assert search(images, trained, tmp_path, "--labels", "30") == 0
    assert sum(asked) == 30
    kept = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert sum(row["purpose"] == "label by shared weights" for row in kept) == 30


def test_real_weights(
    images: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every label is what the shared weights give that network."""
    weights = trained / "last.safetensors"
    assert search(images, weights, tmp_path, "--labels", "10") == 0
    kept = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    found = [row for row in kept if row["purpose"] == "label by shared weights"]
    assert len(found) == 10
    genes = np.array([SPACE.parse(row["architecture"]).genes for row in found])
    expected = supernet.accuracies(genes, weights=weights, data=str(images))
    assert [row["accuracy"] for row in found] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "0"], "--labels must be at least 10; got 0"),
        (["--budget", "0.001ms"], "last.safetensors was trained for meets the budget"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str],
    message: str,
    images: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert search(images, trained, tmp_path, *words) in (1, 2)
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_no_supernet(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(images, tmp_path, tmp_path / "out") == 2
    assert "there is no" in capsys.readouterr().err
    assert main([*ARM, "--labels-from", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "needs --data" in capsys.readouterr().err
