"""`python -m evaluator.supernet`: training, going on after a kill, labels, ranks, mistakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pictures import image_folder
from safetensors.torch import load_file

from evaluator.measured_file import read_rows
from evaluator.supernet import accuracies, main
from evaluator.supernet_run import Labels
from space.shufflenet_v2 import ShuffleNetV2Space

LIMITS = "stem=8 width2=24-28 width3=48-52 width4=96-100 depth=2,3 kernel=3,5 head=256"
SMALL = ("--limits", LIMITS, "--input", "16", "--batch", "8", "--threads", "1")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("image_cache")]


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("supernet")
    command = ["--data", str(images), "--out", str(out), "--epochs", "2", *SMALL]
    assert main(command) == 0
    return out


def small_genes() -> np.ndarray:
    space = ShuffleNetV2Space()
    widths = ((24, 48, 96), (28, 52, 100))
    points = [
        space.point(w, (2, 2, 2), kernel=k, stem=8, head=256) for w in widths for k in (3, 5)
    ]
    return np.array([arch.genes for arch in points], dtype=np.int16)


def test_labels(trained: Path, images: Path) -> None:
    genes = small_genes()
    found = accuracies(genes, weights=trained / "last.safetensors", data=str(images))
    assert found.dtype == np.float64 and found.shape == (4,)
    assert ((found >= 0) & (found <= 100)).all()
    # One at a time, in another order: nothing is left over from the network before.
    labels = Labels.open(trained / "last.safetensors", str(images))
    again = [labels.accuracies(genes[i : i + 1])[0] for i in (3, 1, 0, 2)]
    assert again == found[[3, 1, 0, 2]].tolist()
    held_out = len(labels.judge.tests.labels)  # type: ignore[attr-defined]
    assert held_out == 6  # a tenth of 20 images of 3 classes, of the training part
    wide = ShuffleNetV2Space().point((32, 48, 96), (2, 2, 2), stem=8, head=256)
    with pytest.raises(ValueError, match="is no part of"):
        labels.accuracies(np.array([wide.genes]))


def test_killed_it_goes_on_to_the_same_bits(images: Path, trained: Path, tmp_path: Path) -> None:
    command = ["--data", str(images), "--out", str(tmp_path), "--epochs", "2", *SMALL]
    running = subprocess.Popen(
        [sys.executable, "-m", "evaluator.supernet", *command, "--save-every", "0"],
        cwd=Path(__file__).parents[1],
        env=os.environ,
        stderr=subprocess.DEVNULL,
    )
    checkpoint, deadline = tmp_path / "checkpoint.pt", time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert checkpoint.exists() and not (tmp_path / "log.csv").exists()
    assert main(command) == 0
    whole, resumed = (load_file(d / "last.safetensors") for d in (trained, tmp_path))
    assert whole.keys() == resumed.keys()
    assert all((value == resumed[name]).all() for name, value in whole.items())


def test_trained_alone_and_ranked(
    trained: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "alone.csv"
    command = ["--data", str(images), "--alone", str(path), "--epochs", "1", *SMALL]
    assert main([*command, "--networks", "2"]) == 0
    first = path.read_text()
    assert main([*command, "--networks", "6"]) == 0
    assert path.read_text().startswith(first)  # went on
    rows = read_rows(path)
    assert [row.group for row in rows] == ["band 1", "band 2", "band 3"] * 2
    flops = [row.flops for row in rows]
    assert max(flops[0::3]) <= min(flops[1::3]) and max(flops[1::3]) <= min(flops[2::3])
    capsys.readouterr()
    ranked = ["--data", str(images), "--out", str(trained), "--rank", str(path)]
    assert main([*ranked, "--threads", "1"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("these weights were trained for 6 of 6 trained networks")
    assert "overall" in told
    assert main([*ranked, "--networks", "4"]) == 2
    assert "at least 5 are needed" in capsys.readouterr().err
    assert main([*command, "--lr", "0.1"]) == 2
    assert "other recipes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limits", LIMITS.replace("kernel=3,5", "kernel=3")], "is of another training"),
        (["--sampling", "single"], "is of another training"),
        (["--budget", "1G-2G"], "no network of"),
        (["--limits", "girth=3"], "slot must be one of"),
        (["--random", "-1"], "must be at least 0"),
        (["--data", "nowhere"], "does not exist"),
        (["--data", "empty"], "class"),
    ],
)
def test_mistakes_take_one_line(
    options: list[str],
    message: str,
    trained: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evaluator.supernet_sample.MOST_DRAWN", 50_000)
    command = [
        "--data",
        str(images),
        "--out",
        str(trained),
        "--epochs",
        "2",
        *SMALL,
        *options,
    ]
    assert main(command) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in told and told.startswith("evaluator.supernet: ")


def test_weights_of_something_else(
    trained: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = image_folder(tmp_path / "other", each=10)
    command = ["--data", str(other), "--out", str(trained), "--rank", "rows.csv"]
    assert main(command) == 2
    assert "other images or classes" in capsys.readouterr().err
    (tmp_path / "last.safetensors").write_bytes(b"nothing")
    assert main(["--data", str(images), "--out", str(tmp_path), "--rank", "rows.csv"]) == 2
    assert "must be weights that this program wrote" in capsys.readouterr().err
