"""Trainings as processes: killed in the middle, and two of them together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from evaluator.data.cache import decoded
from evaluator.data.open import open_data
from evaluator.training.images.batches import ArrayBatches
from evaluator.training.process import ProcessShare
from evaluator.training.recipes.recipe import SHORT
from evaluator.training.source import read_metadata, read_network
from space.network.resize import on_input
from space.network.torch_module import build_module
from tests.helpers.images import TINY, image_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
WORDS = [TINY, "--input", "16", "--batch", "8", "--workers", "0", "--threads", "1"]
TOGETHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "G4NAS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def command(folder: Path, out: str, *words: str, before: list[str] | None = None) -> list[str]:
    data = ["--data", str(folder / "images"), "--out", str(folder / out)]
    return [sys.executable, *(before or []), "-m", "evaluator.train", *WORDS, *data, *words]


def finish(folder: Path, words: list[str]) -> str:
    """Run to the end; what it said."""
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def same_tensors(a: Path, b: Path) -> bool:
    ours, theirs = load_file(a), load_file(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_killed_and_resumed_is_the_same(tmp_path: Path) -> None:
    """kill -9 as soon as there is a checkpoint; then the same command, to the same bits."""
    image_folder(tmp_path / "images")
    words = ["--epochs", "30", "--ema", "0.9", "--save-every", "0"]
    finish(tmp_path, command(tmp_path, "whole", *words))
    path = tmp_path / "killed" / "checkpoint.pt"
    process = subprocess.Popen(
        command(tmp_path, "killed", *words),
        cwd=ROOT,
        env=environment(tmp_path),
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    step = torch.load(path, weights_only=True)["step"]
    assert 0 < step < 90
    said = finish(tmp_path, command(tmp_path, "killed", *words))
    assert f"is at step {step} of 90; resuming" in said
    for name in ("last.safetensors", "best.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "killed" / name)
    logs = [(tmp_path / out / "log.csv").read_text().splitlines() for out in ("whole", "killed")]
    ours, theirs = ([row.rpartition(",")[0] for row in log] for log in logs)  # but for seconds
    assert ours == theirs


def test_two_processes_take_one_step(tmp_path: Path) -> None:
    """Against the mean of the gradients of both halves of the batch, computed here."""
    image_folder(tmp_path / "images")
    said = finish(tmp_path, command(tmp_path, "two", "--steps", "1", before=TOGETHER))
    assert said.count("images to train on") == 1  # one of them talks
    found = load_file(tmp_path / "two" / "last.safetensors")
    about = read_metadata(tmp_path / "two" / "last.safetensors")
    assert about["processes"] == 2
    used = SHORT.changed(input=16, batch=8, steps=1)
    part = open_data(tmp_path / "images").train
    pixels = decoded(part, 16, folder=tmp_path / "own")
    gradients: list[list[torch.Tensor]] = []
    for rank in range(2):
        module = build_module(on_input(read_network(TINY), 16, 16, classes=3), 0).train()
        labels = torch.from_numpy(part.labels)
        x, y = next(ArrayBatches(pixels, labels, used, 0, ProcessShare(rank, 2)).train(0, 1))
        assert len(x) == 4
        functional.cross_entropy(module(x), y).backward()
        gradients.append([p.grad for p in module.parameters() if p.grad is not None])
    means = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
    norm = float(torch.cat([mean.flatten() for mean in means]).norm())
    start = build_module(on_input(read_network(TINY), 16, 16, classes=3), 0)
    for (name, p), mean in zip(start.named_parameters(), means, strict=True):
        slope = mean * min(1, used.clip / norm) + (
            used.weight_decay * p.detach() if p.ndim > 1 else 0
        )
        expected = p.detach() - used.lr * 1.9 * slope  # Nesterov's first step
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("recipe", ["short", "modern-small"])
def test_two_processes_go_on(tmp_path: Path, recipe: str) -> None:
    image_folder(tmp_path / "images")
    words = ["--epochs", "3", "--recipe", recipe]
    finish(tmp_path, command(tmp_path, "a", *words, before=TOGETHER))
    state = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)
    assert (state["step"], len(state["history"])) == (9, 3)
    said = finish(tmp_path, command(tmp_path, "a", *words, before=TOGETHER))
    assert "is at step 9 of 9; resuming" in said


def test_batch_that_does_not_divide(tmp_path: Path) -> None:
    image_folder(tmp_path / "images")
    done = subprocess.run(
        command(tmp_path, "a", "--batch", "7", before=TOGETHER),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode != 0
    assert "--batch must be a multiple of the 2 processes; got 7" in done.stderr
