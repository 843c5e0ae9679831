"""`python -m evaluator.train` with the recipes of today and a teacher: resumed to the same bits,
for any number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evaluator.train import main
from evaluator.training.loop import Training
from evaluator.training.source import read_metadata, read_trained
from tests.helpers.images import TINY, image_folder, image_table
from tests.helpers.trained import trained_metadata, trained_module, write_trained
from tests.helpers.training import WORDS, failed

pytestmark = pytest.mark.usefixtures("image_cache")
MODERN = ["--recipe", "modern-small", "--erase", "0.5"]
NAMES = ["class0", "class1", "class2"]


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A trained file for the classes of the small images."""
    path = tmp_path / "teacher.safetensors"
    write_trained(path, trained_metadata(trained_module()) | {"classes": NAMES})
    return path


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after a step."""
    run = Training.run

    def interrupted(self: Training, **options: int) -> Iterator[int]:
        for done in run(self, **options):
            yield done
            if done == step:
                raise KeyboardInterrupt

    monkeypatch.setattr(Training, "run", interrupted)


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(folder / "last.safetensors") for folder in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.slow
@pytest.mark.parametrize("taught", [False, True])
def test_stopped_and_gone_on_is_the_same(
    small_images: Path,
    tmp_path: Path,
    teacher: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    taught: bool,
) -> None:
    words = [*WORDS, *MODERN, "--data", str(small_images)]
    words += ["--teacher", str(teacher)] if taught else []
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*words, "--out", str(whole)]) == 0
    said = capsys.readouterr().err
    assert "\nwith cosine, TrivialAugment, random erasing 0.5, mixup 0.2, CutMix 1, label" in said
    assert (
        "teacher.safetensors: 0.9 of the loss, temperature 4; it sees 16x16 im" in said
    ) == taught
    for step, workers in ((2, "1"), (4, "2")):
        with monkeypatch.context() as patch:
            interrupt_at(step, patch)
            assert main([*words, "--out", str(parts), "--workers", workers]) == 130
    assert main([*words, "--out", str(parts), "--workers", "3"]) == 0
    assert same_weights(whole, parts)
    about = read_metadata(whole / "last.safetensors")
    assert about["recipe"]["mixup"] == 0.2
    assert ("teacher" in about) == taught
    read_trained(whole / "last.safetensors")


@pytest.mark.slow
def test_large_images(small_images: Path, tmp_path: Path) -> None:
    """`modern` itself, whose images are decoded on the fly, on a smaller input."""
    words = [TINY, *"--recipe modern --steps 2 --batch 12 --input 80 --workers 0".split()]
    assert main([*words, "--data", str(small_images), "--out", str(tmp_path)]) == 0
    assert read_metadata(tmp_path / "last.safetensors")["recipe"]["augment"] == "scale+trivial"


def test_a_teacher_changes_the_training(
    small_images: Path, tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A share of 0 is a training without it; another teacher or share is another training."""
    words = [*WORDS, "--data", str(small_images)]
    taught = [*words, "--teacher", str(teacher)]
    for name, line in (
        ("none", words),
        ("zero", [*taught, "--teacher-share", "0"]),
        ("own", taught),
    ):
        assert main([*line, "--out", str(tmp_path / name)]) == 0
    assert same_weights(tmp_path / "none", tmp_path / "zero")
    assert not same_weights(tmp_path / "none", tmp_path / "own")
    capsys.readouterr()
    said = failed(capsys, 2, *taught, "--temperature", "2", "--out", str(tmp_path / "own"))
    assert "is of another training (temperature: stored 4.0, requested 2.0)" in said
    said = failed(capsys, 2, *words, "--out", str(tmp_path / "own"))
    assert "checkpoint.pt is of another training (teacher: stored " in said
    assert "requested none)" in said
    said = failed(capsys, 2, *taught, "--out", str(tmp_path / "none"))
    assert "is of another training (teacher: stored none, requested " in said
    about = trained_metadata(trained_module(seed=6)) | {"classes": NAMES, "seed": 4}
    moved = teacher.rename(tmp_path / "moved.safetensors")
    assert main([*words, "--teacher", str(moved), "--out", str(tmp_path / "own")]) == 0
    capsys.readouterr()
    write_trained(teacher, about)
    said = failed(capsys, 2, *taught, "--out", str(tmp_path / "own"))
    assert "is of another training (digest: stored " in said


@pytest.mark.parametrize(
    "words, message",
    [
        (["--temperature", "2"], "--temperature needs --teacher"),
        (
            ["--teacher-share", "0.5", "--teacher-input", "8"],
            "--teacher-input, --teacher-share needs",
        ),
        (["--teacher", "resnet999"], "--teacher must be a network of torchvision or timm"),
        (["--teacher", "nowhere.onnx"], "nowhere.onnx: No such file or directory"),
        (["--teacher", "resnet18"], "--teacher resnet18 has 1000 classes; the data has 3"),
        (["--mixup", "-1"], "--mixup must be from 0 to 100; got -1.0"),
        (["--erase", "nan"], "--erase must be from 0 to 1; got nan"),
        (["--weights", "torchvision"], "--weights torchvision is for ShuffleNet v2 0.5x"),
        (
            ["--images", "2"],
            "must have images of every class to train on; none of class1 among 2 im",
        ),
    ],
)
def test_mistakes(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    """Each is one line, before an image is decoded or a weight is written."""
    line = [*WORDS, "--data", str(small_images), "--out", str(tmp_path / "out")]
    assert message in failed(capsys, 2, *line, *words)
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("out", ".lock")]


@pytest.mark.parametrize(
    "words", [["--augment", "trivial"], ["--schedule", "cos"], ["--decay", "x"]]
)
def test_choices(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*WORDS, "--data", "x", *words])
    said = capsys.readouterr().err
    assert "invalid choice" in said and len(said.splitlines()) == 1


def test_a_class_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named by the file, and without one row; and an empty folder."""
    import pyarrow.parquet as pq

    path = image_table(tmp_path / "train.parquet", [0, 0, 2, 2] * 4)
    table = pq.read_table(path)
    label = '{"names": ["cat", "dog", "fox"], "_type": "ClassLabel"}'
    about = f'{{"info": {{"features": {{"label": {label}}}}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), path)
    said = failed(capsys, 2, *WORDS, "--data", str(path), "--out", str(tmp_path / "a"))
    assert "must have images of every class to train on; none of dog among 14 images" in said
    top = image_folder(tmp_path / "images")
    for part in ("train", "test"):
        for image in (top / part / "class1").iterdir():
            image.unlink()
    said = failed(capsys, 2, *WORDS, "--data", str(top), "--out", str(tmp_path / "b"))
    assert "class1" in said
