"""Searches that are killed again and again, at any moment, end as the one that never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from search.optimizer.stored import read_study
from tests.helpers.images import image_folder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("image_cache")]

WORDS = ["--target", "arm", "--budget", "146M", "--trials", "400"]
TRAINED = [
    "--target", "arm", "--budget", "41M", "--trials", "60", "--labels", "12", "--seeds", "2",
    "--input", "16", "--batch", "12", "--epochs", "4", "--threads", "1", "--lr", "0.05",
]  # fmt: skip


def _start(words: Sequence[str], out: Path, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "search.run", *words, "--out", str(out)],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(words: Sequence[str], out: Path, root: Path) -> None:
    child = _start(words, out, root)
    _, told = child.communicate()
    assert child.returncode == 0, told


def _stop(
    words: Sequence[str],
    out: Path,
    root: Path,
    when: Callable[[], bool],
    by: signal.Signals = signal.SIGKILL,
) -> str:
    """Stop the command once `when` holds; what it said last."""
    child = _start(words, out, root)
    deadline = time.monotonic() + 120
    while not when() and child.poll() is None:
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.005)
    child.send_signal(by)
    _, told = child.communicate()
    assert child.returncode == (-by if by == signal.SIGKILL else 130), told
    return told


def _trials(path: Path) -> int:
    """The number of trials in a file that another process writes."""
    if not path.exists():
        return -1
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
    except sqlite3.OperationalError:
        return -1


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _answer(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "winners.json").read_text(encoding="utf-8"))
    return {name: value for name, value in record.items() if name not in ("date", "commit")}


def _labels(out: Path) -> list[dict[str, Any]]:
    varying = ("seconds", "date", "commit")
    lines = (out / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [{name: row[name] for name in row if name not in varying} for row in rows]


def test_killed_at_random(tmp_path: Path, root: Path) -> None:
    whole, killed = tmp_path / "whole" / "out", tmp_path / "killed" / "out"
    _finish(WORDS, whole, root)
    path, rng = killed / "study.db", random.Random(14)
    _stop(WORDS, killed, root, path.exists)  # while Optuna makes the tables
    for target in (0, *sorted(rng.sample(range(1, 380), 6))):
        _stop(WORDS, killed, root, lambda target=target: _trials(path) >= target)
    _finish(WORDS, killed, root)
    assert read_study(path).trials == read_study(whole / "study.db").trials
    assert (killed / "front.csv").read_bytes() == (whole / "front.csv").read_bytes()
    assert _answer(killed) == _answer(whole)
    exported = [each.name for each in whole.iterdir() if each.suffix in (".onnx", ".safetensors")]
    assert exported
    for name in exported:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, root: Path) -> tuple[list[str], Path]:
    """The words of a search with labels, and the folder of one that never stopped."""
    top = tmp_path_factory.mktemp("labelled")
    words = [*TRAINED, "--data", str(image_folder(top / "images", each=20))]
    _finish(words, top / "out", root)
    return words, top / "out"


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_stopped_in_every_phase_with_labels(
    by: signal.Signals, labelled: tuple[list[str], Path], tmp_path: Path, root: Path
) -> None:
    """In the selection, the labels, the search, and the trainings of the winners."""
    (words, whole), stopped = labelled, tmp_path / "out"
    path = stopped / "labels.jsonl"
    phases: list[Callable[[], bool]] = [
        (stopped / "training").exists,
        (stopped / "training" / "checkpoint.pt").exists,
        lambda: _lines(path) >= 3,
        lambda: _lines(path) >= 9,
        lambda: any(_trials(each) >= 5 for each in stopped.glob("study*.db")),
        lambda: any(_trials(each) >= 40 for each in stopped.glob("study*.db")),
        lambda: _lines(path) >= 13,
        lambda: _lines(path) >= 16,
    ]
    for when in phases:
        told = _stop(words, stopped, root, when, by)
        if by == signal.SIGINT:
            assert "Traceback" not in told
            assert told.splitlines()[-1].startswith("search.run: "), told
    _finish(words, stopped, root)
    assert _labels(stopped) == _labels(whole)
    for pattern in ("predictor-*.json", "front.csv", "training/*.safetensors"):
        names = sorted(each.relative_to(whole) for each in whole.glob(pattern))
        assert names == sorted(each.relative_to(stopped) for each in stopped.glob(pattern))
        if "training" not in pattern:  # weights hold the seconds that they took
            for name in names:
                assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name
    assert _answer(stopped) == _answer(whole)
