"""`python -m evaluator.train`: what goes wrong is one line, and what was done stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evaluator.training.loop import Training
from tests.helpers.images import TINY, image_folder
from tests.helpers.training import WORDS, failed

pytestmark = pytest.mark.usefixtures("image_cache")


def test_diverged_keeps_what_there_was(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Training._one

    def poisoned(self: Training, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return one(self, x * float("nan") if self.step == 4 else x, labels)

    monkeypatch.setattr(Training, "_one", poisoned)
    said = failed(capsys, 1, *WORDS, "--data", str(small_images), "--out", str(tmp_path))
    assert "the loss is nan at step 5 of 6" in said
    assert "lower --lr (now 0.2) and give --fresh. What was done before is in" in said
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3
    assert all(torch.isfinite(v).all() for v in state["module"].values())
    assert (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Training, "_one", full)
    said = failed(capsys, 1, *WORDS, "--data", str(small_images), "--out", str(tmp_path))
    assert said == (
        "evaluator.train: out of memory with --batch 8 at --input 16: lower --batch, then "
        "--input. Nothing was written yet"
    )


def test_truncated_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = image_folder(tmp_path / "images")
    bad = top / "train" / "class1" / "003.png"
    bad.write_bytes(bad.read_bytes()[:70])
    for recipe in ("short", "paper"):
        out = str(tmp_path / recipe)
        words = [*WORDS, "--recipe", recipe, "--data", str(top), "--out", out]
        said = failed(capsys, 2, *words)
        assert f"evaluator.train: {bad} cannot be read as an image" in said


@pytest.mark.parametrize(
    "words, message",
    [
        (["nothing"], "ARCH must be a line that begins with shufflenet_v2, winners.json"),
        (["shufflenet_v2 stem=8"], "`width2` is missing in"),
        (["ResNet-50"], "halvings of ResNet-50 cannot be dropped"),
        (["GoogLeNet inception 3a"], "images have 3 channels; GoogLeNet inception 3a takes 192"),
        (["missing.safetensors"], "missing.safetensors: No such file or directory"),
        ([TINY, "--batch", "1"], "`batch` must be at least 2, for batch norm; got 1"),
        ([TINY, "--device", "tpu"], "--device must be one of auto, cpu"),
        ([TINY, "--seed", "-1"], "--seed must be from 0 to 4294967295; got -1"),
        ([TINY, "--workers", "-1"], "--workers must be from 0 to 256; got -1"),
        ([TINY, "--held-out", "2", "--data", "FLAT"], "held out must be in 0..1; got 2"),
        ([TINY, "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    flat = str(small_images / "train")
    words = [flat if word == "FLAT" else word for word in words]
    if "--data" not in words:
        words += ["--data", str(small_images)]
    said = failed(capsys, 2, *words, "--out", str(tmp_path / "out"))
    assert message in said


def test_out_is_a_file(
    small_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").touch()
    said = failed(capsys, 2, TINY, "--data", str(small_images), "--out", str(tmp_path / "x"))
    assert "--out must be a folder, or a new one; got" in said


def test_one_training_in_a_folder(
    small_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from space.common.files import locked

    with locked(tmp_path, "training"):
        said = failed(capsys, 2, TINY, "--data", str(small_images), "--out", str(tmp_path))
    assert f"another training is running in {tmp_path}" in said


def test_missing_package(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchvision.transforms", None)
    words = [TINY, "--recipe", "paper", "--steps", "1", "--batch", "8", "--input", "96"]
    said = failed(capsys, 1, *words, "--data", str(small_images), "--out", str(tmp_path))
    assert "torchvision.transforms is needed and not installed: pip install" in said
