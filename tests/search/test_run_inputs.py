"""Searches for other images and classes than ImageNet's, and what is exported after a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from evaluator.training.source import read_trained
from latency.builder.build import build_table
from latency.builder.campaign import Effort
from latency.builder.config import BuildConfig
from latency.builder.grid import Grid
from latency.table.load import load_table
from search.compare import main as compare
from search.run import main
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.torch_module import build_module
from tests.helpers.images import image_folder

SHAPE = ["--input", "160x128", "--channels", "1", "--classes", "10"]
SPACE = ShuffleNetV2Space(height=160, width=128, channels=1, classes=10)

pytestmark = pytest.mark.slow


def torchs_flops(module: torch.nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.zeros(1, 3, 16, 16))
    return counter.get_total_flops() // 2


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "winners.json").read_text("utf-8"))


def check_winners(out: Path, target: Path | str) -> dict[str, Any]:
    """Each winner again from its architecture alone; returns the record."""
    record, table = record_of(out), load_table(target)
    assert (record["input"], record["classes"]) == ([1, 160, 128], 10)
    for entry in [*record["winners"], record["baseline"]]:
        network = SPACE.lower(SPACE.parse(entry["architecture"]))
        assert (network.flops, network.params) == (entry["flops"], entry["params"])
        assert entry["latency_s"] == pytest.approx(table.network_s(network.blocks))
    for entry in record["winners"]:
        weights, graph = (out / name for name in entry["files"])
        module = build_module(SPACE.lower(SPACE.parse(entry["architecture"])), 9)
        module.load_state_dict(load_file(weights))
        images = torch.randn(2, 1, 160, 128, generator=torch.manual_seed(0))
        with torch.inference_mode():
            expected = module(images).numpy()
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"input": images.numpy()})
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
        assert not entry["weights"]["trained"]
    return record


def test_a_cost_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--target", "arm", "--budget", "60M", "--trials", "20", *SHAPE]
    assert main([*words, "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "networks: 160x128, 1 channel, 10 classes" in out
    assert "that error is of networks of 224x224, 3 channels, 1000 classes" in out
    why, start, *_ = err.splitlines()
    assert why.startswith("the closed form is the score: the estimate is of ImageNet, ")
    assert start.startswith("searching networks of 160x128, 1 channel, 10 classes")
    assert [line for line in err.splitlines() if "10 of 20 trials" in line]
    record = check_winners(tmp_path, "arm")
    assert record["winners"][0]["latency_mean_abs_error"] is None
    assert not record["latency"]["network_error_applies"]
    words = [word for word in words if word not in SHAPE]
    assert main([*words, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "space: stored shufflenet_v2 of 160x128, 1 channel, 10 classes, requested" in told


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measured table of 160x128, one channel and ten classes."""
    path = tmp_path_factory.mktemp("table") / "small.json"
    config = BuildConfig(
        engine="null", input="160x128", channels=1, classes=10, networks=2, out=path
    )
    grid, effort = (
        Grid("few", stem=8, first=9, rest=12, head=9),
        Effort(min_passes=1, max_passes=1),
    )
    build_table(config, grid=grid, effort=effort, log=lambda line: None)
    return path


def test_a_measured_table(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says itself what its networks take; options may say the same, and nothing else."""
    words = ["--target", str(measured), "--budget", "60M", "--trials", "20"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert main([*words, *SHAPE, "--out", str(tmp_path / "a")]) == 0
    assert "input 160x128, 1 channel, 10 classes" in capsys.readouterr().out
    check_winners(tmp_path / "a", measured)
    for more, told in (
        (
            ["--input", "224x224"],
            "--input must be 160x128, that of the table 'small'; got 224x224",
        ),
        (["--channels", "3"], "--channels must be 1, that of the table"),
        (["--classes", "1000"], "--classes must be 10, that of the table"),
        (["--input", "160"], "a side of training images, which needs --data"),
    ):
        assert main([*words, *more, "--out", str(tmp_path / "b")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
        assert not (tmp_path / "b").exists()
    names = ["--network", "ShuffleNet v2 1.0x", "--format", "json", "--target", str(measured)]
    assert compare(names) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    point = SPACE.lower(SPACE.point((116, 232, 464)))
    assert row["flops"] == point.flops
    assert row["latency_s"] == pytest.approx(load_table(measured).network_s(point.blocks))
    assert "networks: 160x128, 1 channel, 10 classes" in found["latency"]


@pytest.mark.usefixtures("image_cache")
def test_winners_hold_their_trained_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = image_folder(tmp_path / "images", each=12), tmp_path / "out"
    words = ["--target", "arm", "--budget", "41M", "--trials", "20", "--labels", "0"]
    words += ["--seeds", "2", "--data", str(data), "--input", "16", "--batch", "12"]
    words += ["--steps", "4", "--threads", "1", "--lr", "0.05", "--out", str(out)]
    for classes in ("4", "1000"):
        assert main([*words, "--classes", classes]) == 2
        assert "must be the 3 of" in capsys.readouterr().err
    assert main([*words, "--channels", "1"]) == 2
    assert "--data trains on images of 3 channels" in capsys.readouterr().err
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "  trained weights: 3x16x16, 3 classes; seed 1, recipe short, epoch " in told
    assert "latency above are of 224x224, 3 channels, 1000 classes, all halvings" in told
    for entry in record_of(out)["winners"]:
        assert (entry["weights"]["trained"], entry["weights"]["seed"]) == (True, 1)
        accuracy = entry["measured_accuracy"]["by_seed"]["1"]
        assert entry["weights"]["test_accuracy"] == pytest.approx(accuracy, abs=1e-4)
        weights, graph = (out / name for name in entry["files"])
        module = read_trained(weights).module()
        assert entry["weights"]["flops"] == torchs_flops(module)
        assert entry["weights"]["flops"] != entry["flops"]
        trained, exported = read_trained(out / entry["trained"][0]), load_file(weights)
        assert trained.weights.keys() == exported.keys()
        for name, value in trained.weights.items():
            np.testing.assert_array_equal(value, exported[name].numpy())
        assert read_trained(weights).classes == ("class0", "class1", "class2")
        stored = {each.key: each.value for each in onnx.load(graph).metadata_props}
        assert stored["weights"].startswith("trained, seed 1, recipe short")
        images = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0))
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"input": images.numpy()})
        with torch.inference_mode():
            expected = trained.module()(images).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
