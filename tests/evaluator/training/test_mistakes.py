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
        ([TINY, "--batch", "1"], "--batch must be from 2 to 65536; got 1"),
        ([TINY, "--batch", "100000000"], "--batch must be from 2 to 65536; got 100000000"),
        ([TINY, "--steps", "0"], "--steps must be from 1 to 100000000; got 0"),
        ([TINY, "--epochs", "0"], "--epochs must be from 0.001 to 1000000; got 0.0"),
        ([TINY, "--images", "0"], "--images must be from 2 to 1000000000; got 0"),
        ([TINY, "--lr", "nan"], "--lr must be from 1e-12 to 1000; got nan"),
        ([TINY, "--lr", "-1"], "--lr must be from 1e-12 to 1000; got -1.0"),
        ([TINY, "--ema", "nan"], "--ema must be from 0 to 0.999999; got nan"),
        ([TINY, "--seed", "-1"], "--seed must be from 0 to 4294967295; got -1"),
        ([TINY, "--workers", "-1"], "--workers must be from 0 to 256; got -1"),
        ([TINY, "--workers", "3000"], "--workers must be from 0 to 256; got 3000"),
        ([TINY, "--threads", "0"], "--threads must be from 1 to 1024; got 0"),
        ([TINY, "--threads", "100000"], "--threads must be from 1 to 1024; got 100000"),
        ([TINY, "--held-out", "2"], "--held-out must be from 0.0001 to 0.9999; got 2.0"),
        ([TINY, "--save-every", "nan"], "--save-every must be from 0 to 1000000000; got nan"),
        ([TINY, "--device", "tpu"], "--device must be one of auto, cpu"),
        ([TINY, "--device", "cpu:x"], "--device must be one of auto, cpu"),
        ([TINY, "--device", "cuda:99"], "--device must be one of auto, cpu"),
        ([TINY, "--device", "mps"], "--device must be one of auto, cpu"),
        ([TINY, "--input", "8", "--drop", "0"], "divides its input by 32: it must be at least"),
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
    """Each is refused before images are decoded and before a weight or checkpoint is written."""
    if "--data" not in words:
        words = [*words, "--data", str(small_images)]
    said = failed(capsys, 2, *words, "--out", str(tmp_path / "out"))
    assert message in said
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("out", ".lock")]


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
