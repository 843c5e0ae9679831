"""`python -m evaluator.train`: what it leaves, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluator.train import main
from evaluator.training import run as train_run
from evaluator.training.loop import Training
from evaluator.training.source import read_metadata, read_network, read_trained
from evaluator.training.weights.checkpoint import CheckpointWriter
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.resize import on_input
from space.network.torch_module import build_module
from space.zoo.families import shufflenet_v2
from tests.helpers.images import TINY, image_folder
from tests.helpers.training import WORDS, failed

pytestmark = pytest.mark.usefixtures("image_cache")


@pytest.fixture(scope="module")
def done(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished training."""
    out = tmp_path_factory.mktemp("out") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G4NAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        assert main([*WORDS, "--data", str(small_images), "--out", str(out)]) == 0
    yield out


def test_files(done: Path) -> None:
    names = {path.name for path in done.iterdir()}
    assert names == {".lock", "best.safetensors", "checkpoint.pt", "last.safetensors", "log.csv"}
    with (done / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6")]
    best = max(float(row["test_accuracy"]) for row in rows)
    assert read_metadata(done / "best.safetensors")["test_accuracy"] == best


def test_weights_say_what_they_are(done: Path, small_images: Path) -> None:
    """Rebuilt from the file alone, the network gives the accuracy that the file states."""
    from evaluator.data.open import open_data
    from evaluator.training.images.decoding import DecodedBatches
    from evaluator.training.recipes.recipe import Recipe

    about = read_metadata(done / "last.safetensors")
    assert about["architecture"] == TINY
    assert about["classes"] == ["class0", "class1", "class2"]
    assert {"commit", "date", "versions", "seed", "mean", "std"} <= set(about)
    assert about["versions"]["torch"] == torch.__version__.partition("+")[0]
    network = on_input(read_network(TINY), *about["input"][1:], classes=3)
    assert (about["flops"], about["params"]) == (network.flops, network.params)
    module = build_module(network)
    module.load_state_dict(load_file(done / "last.safetensors"))
    right = 0
    with torch.inference_mode():
        for x, labels in DecodedBatches(
            open_data(small_images).test, Recipe.from_record(about["recipe"]), 0
        ).test():
            right += int((module(x).argmax(1) == labels).sum())
    assert 100 * right / 24 == pytest.approx(about["test_accuracy"])


def test_same_command_goes_on(
    done: Path, small_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (done / "last.safetensors").read_bytes()
    words = [*WORDS, "--data", str(small_images), "--out", str(done), "--format", "json"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "is at step 6 of 6; resuming" in told.err
    assert (
        json.loads(told.out)["last_accuracy"]
        == read_metadata(done / "last.safetensors")["test_accuracy"]
    )
    assert (done / "last.safetensors").read_bytes() == before


def test_stopped_and_gone_on_is_the_same(
    done: Path, small_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of an epoch; the tensors of a run that was never stopped."""
    steps = Training.run

    def interrupted(self: Training, **options: Any) -> Iterator[int]:
        for step in steps(self, **options):
            yield step
            if step == 4:
                raise KeyboardInterrupt

    words = [*WORDS, "--data", str(small_images), "--out", str(tmp_path / "b")]
    monkeypatch.setattr(Training, "run", interrupted)
    assert main(words) == 130
    monkeypatch.undo()
    assert main(words) == 0
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = load_file(tmp_path / "b" / name), load_file(done / name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--lr", "0.1"], "checkpoint.pt is of another training (lr: stored 0.2, requested 0.1)"),
        (["--seed", "5"], "seed: stored 0, requested 5"),
        (["--amp"], "amp: stored False, requested True). Choose another --out, or --fresh"),
    ],
)
def test_checkpoint_of_another_training(
    done: Path,
    small_images: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    said = failed(capsys, 2, *WORDS, "--data", str(small_images), "--out", str(done), *words)
    assert message in said


def test_checkpoint_of_another_architecture(
    done: Path, small_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [word.replace("head=256", "head=384") for word in WORDS]
    said = failed(capsys, 2, *other, "--data", str(small_images), "--out", str(done))
    assert "is of another training (architecture: " in said
    assert "head=256, requested " in said
    assert "head=384)" in said


def test_data_of_other_classes(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image_folder(tmp_path / "two", classes=2)
    said = failed(capsys, 2, *WORDS, "--data", str(tmp_path / "two"), "--out", str(done))
    assert "stored 3 classes, 2 in the data" in said
    words = ["--out", str(tmp_path / "o"), "--weights", str(done / "best.safetensors")]
    said = failed(capsys, 2, *WORDS, "--data", str(tmp_path / "two"), *words)
    assert "the classifier of" in said
    assert "is for 3 classes; the data has 2" in said


def test_damaged_checkpoint(
    done: Path, small_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((done / "checkpoint.pt").read_bytes()[:500])
    said = failed(capsys, 2, *WORDS, "--data", str(small_images), "--out", str(tmp_path))
    assert "checkpoint.pt is no checkpoint of this program" in said
    assert main([*WORDS, "--data", str(small_images), "--out", str(tmp_path), "--fresh"]) == 0


def test_start_from_weights(done: Path, small_images: Path, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--weights", str(done / "last.safetensors"), "--lr", "1e-9"]
    # named by its file; a step of nearly nothing leaves the weights as they were
    assert (
        main([str(done / "last.safetensors"), *WORDS[7:], "--data", str(small_images), *words])
        == 0
    )
    ours, theirs = load_file(tmp_path / "last.safetensors"), load_file(done / "last.safetensors")
    key = "blocks.0.0.conv.weight"
    torch.testing.assert_close(ours[key], theirs[key], rtol=1e-4, atol=1e-6)


def test_what_a_network_is_named_by(tmp_path: Path) -> None:
    space = ShuffleNetV2Space()
    path = tmp_path / "winners.json"
    rows = [{"name": name, "architecture": text} for name, text in (("fast", TINY), ("b", TINY))]
    rows[1]["architecture"] = TINY.replace("head=256", "head=512")
    path.write_text(json.dumps({"winners": rows}), encoding="utf-8")
    assert read_network(str(path)) == space.lower(space.parse(TINY))
    assert read_network(f"{path}:b").name.endswith("head=512")
    with pytest.raises(ValueError, match="has the winners fast, b; got 'c'"):
        read_network(f"{path}:c")
    path.write_text(json.dumps({"winners": [], "baseline": rows[1]}), encoding="utf-8")
    assert read_network(str(path)) == read_network(f"{path}:b")
    path.write_text(json.dumps({"winners": [], "baseline": None}), encoding="utf-8")
    with pytest.raises(ValueError, match="has the winners none; got ''"):
        read_network(str(path))
    assert read_network("ShuffleNet v2 0.5x") == shufflenet_v2("0.5")
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"winners\.json: the content must be an object"):
        read_network(str(path))


def test_default_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluator.training.process import ProcessShare, loader_workers

    for cores, world, expected in ((1, 1, 0), (4, 1, 3), (64, 1, 8), (8, 4, 1), (2, 4, 0)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert loader_workers(None, ProcessShare(0, world)) == expected
    assert loader_workers(5, ProcessShare()) == 5


def test_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves the old checkpoint."""
    network = on_input(read_network(TINY), 16, 16, classes=3)
    from evaluator.training.recipes.recipe import SHORT

    training = Training(network, SHORT.changed(input=16), 8, None, None)  # type: ignore[arg-type]
    path = tmp_path / "checkpoint.pt"
    CheckpointWriter(training, path, {"seed": 1}).save()
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        CheckpointWriter(training, path, {"seed": 2}).save()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_tensorboard_is_optional(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0.0, 0))

    words = [*WORDS, "--data", str(small_images), "--out", str(tmp_path), "--tensorboard"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    said = failed(capsys, 1, *words)
    assert "--tensorboard needs tensorboard, which is not installed" in said
    monkeypatch.setattr(train_run, "event_writer", lambda *_: closing(Writer()))
    assert main(words) == 0
    steps = [step for name, _, step in written if name == "test_accuracy"]
    assert (steps, written[-1][0]) == ([3, 6], "closed")


def test_killed_before_its_checkpoint(
    done: Path, small_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch's files are written before the checkpoint that says it is over."""

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        assert (tmp_path / "last.safetensors").exists()
        assert (tmp_path / "best.safetensors").exists()
        raise Killed("before its checkpoint")

    words = [*WORDS, "--data", str(small_images), "--out", str(tmp_path)]
    monkeypatch.setattr(CheckpointWriter, "save", killed)
    with pytest.raises(Killed, match="before its checkpoint"):
        main(words)
    monkeypatch.undo()
    assert main(words) == 0
    ours, theirs = load_file(tmp_path / "last.safetensors"), load_file(done / "last.safetensors")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_paper_recipe(small_images: Path, tmp_path: Path) -> None:
    """Its transforms and its schedule, for two steps on a smaller input."""
    words = ["--recipe", "paper", "--steps", "2", "--batch", "12", "--input", "96"]
    arguments = [
        TINY,
        *words,
        "--workers",
        "0",
        "--data",
        str(small_images),
        "--out",
        str(tmp_path),
    ]
    assert main(arguments) == 0
    about = read_metadata(tmp_path / "last.safetensors")
    assert about["input"] == [3, 96, 96]
    assert about["recipe"]["weight_decay"] == 4e-5
    network = on_input(read_network(TINY), 96, 96, classes=3, drop=0)
    assert about["flops"] == network.flops


def test_bar_on_a_terminal(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [*WORDS, "--data", str(small_images), "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    plain = capsys.readouterr().err
    assert "\x1b" not in plain
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bars
    assert main([*words, str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().err
    assert "\x1b" in shown
    assert "training" in shown
    for text in (plain, shown):
        assert "epoch 2 of 2: loss " in text


@pytest.mark.parametrize("size", ["16", "24x16", "80x72"])
def test_grey_and_oblong_images(small_images: Path, tmp_path: Path, size: str) -> None:
    """From the file alone the network, its input and its pixels, on images that PIL converts."""
    import numpy as np
    from PIL import Image, ImageOps

    words = [*WORDS, "--input", size, "--channels", "1", "--data", str(small_images)]
    assert main([*words, "--out", str(tmp_path)]) == 0
    found = read_trained(tmp_path / "last.safetensors")
    height, width = int(size.split("x")[0]), int(size.split("x")[-1])
    assert found.input_shape == (1, height, width)
    assert (len(found.mean), len(found.std)) == (1, 1)
    large = max(height, width) > 64
    sides = [round(side * 8 / 7) if large else side for side in (height, width)]
    module, right = found.module(), 0
    for label, name in enumerate(found.classes):
        for path in sorted((small_images / "test" / name).iterdir()):
            image = ImageOps.fit(Image.open(path), (sides[1], sides[0]), Image.Resampling.BILINEAR)
            top, left = round((sides[0] - height) / 2), round((sides[1] - width) / 2)
            grey = image.crop((left, top, left + width, top + height)).convert("L")
            x = (np.asarray(grey, dtype=np.float32) / 255 - found.mean[0]) / found.std[0]
            with torch.inference_mode():
                logits = module(torch.from_numpy(x.astype(np.float32))[None, None])
            right += int(logits.argmax()) == label
    assert 100 * right / 24 == pytest.approx(found.metadata["test_accuracy"])


def test_grey_as_pillow_converts() -> None:
    import numpy as np
    from PIL import Image

    from evaluator.training.images.batches import GREY_MEAN, GREY_STD, normalised

    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    grey = normalised(torch.from_numpy(pixels), 1).numpy() * GREY_STD[0] * 255 + 255 * GREY_MEAN[0]
    expected = [np.asarray(Image.fromarray(each).convert("L")) for each in pixels]
    assert (np.rint(grey[:, 0]) == np.stack(expected)).all()
