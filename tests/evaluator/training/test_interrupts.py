"""Ctrl-C at any time: one line, status 130, and a checkpoint that goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluator.train import main
from evaluator.training.images.batches import ArrayBatches
from evaluator.training.loop import Training
from evaluator.training.process import uninterrupted
from evaluator.training.weights import checkpoint
from evaluator.training.weights.checkpoint import CheckpointWriter
from tests.helpers.training import WORDS

pytestmark = pytest.mark.usefixtures("image_cache")
FILES = ("last.safetensors", "best.safetensors")


def press() -> None:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)  # the interpreter runs the handler here, if not before


def test_a_step_is_finished_first() -> None:
    done: list[int] = []

    def steps(presses: int) -> None:
        with uninterrupted():
            for number in range(3):
                done.append(number)
                if number < presses:
                    press()

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        steps(1)
    assert done == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        steps(2)
    assert done == [0, 1, 2, 0, 1]
    steps(0)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        press()  # the handler of before is back


@pytest.fixture(scope="module")
def whole(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was never stopped, with averaged weights."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G4NAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        assert main([*WORDS, "--ema", "--data", str(small_images), "--out", str(out)]) == 0
    return out


def pressed_in(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, call: int, after: bool
) -> None:
    """Make the `call`-th call of a function press Ctrl-C, before its work or after."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def wrapped(*words: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            press()
        result = original(*words, **options)
        if calls == call and after:
            press()
        return result

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "owner, name, call",
    [
        (Training, "_one", 1),
        (Training, "_one", 2),
        (torch.optim.SGD, "step", 2),
        (Training, "_average", 4),
        (Training, "_finish_epoch", 1),
        (Training, "evaluate", 2),
        (Training, "copied_weights", 2),
        (ArrayBatches, "test", 1),
        (ArrayBatches, "train", 1),
        (CheckpointWriter, "save", 1),
        (CheckpointWriter, "check_finite", 1),
        (checkpoint, "write_atomic", 2),
        (checkpoint, "save_weights", 1),
        (torch, "save", 1),
    ],
)
def test_anywhere(
    whole: Path,
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
    after: bool,
) -> None:
    words = [*WORDS, "--ema", "--data", str(small_images), "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        pressed_in(patch, owner, name, call=call, after=after)
        assert main(words) == 130
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("evaluator.train: stopped. ")
    assert not list(tmp_path.glob(".*.part*"))
    assert main(words) == 0
    for file in FILES:
        ours, theirs = load_file(tmp_path / file), load_file(whole / file)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.slow
def test_a_process_is_interrupted_again_and_again(
    whole: Path, small_images: Path, tmp_path: Path
) -> None:
    """While it starts, loads, trains and saves, at times that follow its own: the bits of a
    training that was never stopped, with a thread as there."""
    words = [*WORDS, "--ema", "--data", str(small_images), "--out", str(tmp_path)]
    command = [sys.executable, "-m", "evaluator.train", *words]
    delays = (1.0, 1.6, 2.0, 2.3, 2.5, 2.7, 2.9, 3.1, 3.3)
    for delay in delays:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        # By the signal itself if it comes while Python ends, after the command: then Python, not
        # the command, says so.
        assert process.returncode in (0, 130, -signal.SIGINT), said
        assert b"Traceback" not in said or process.returncode == -signal.SIGINT, said
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    for file in FILES:
        ours, theirs = load_file(tmp_path / file), load_file(whole / file)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
