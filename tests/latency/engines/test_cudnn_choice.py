"""How cuDNN chooses kernels, and the script that compares the ways, without a GPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from latency.engines.registry import get_engine
from latency.engines.torch import cuda as torch_cuda
from latency.engines.torch.cuda import TorchCudaEngine
from latency.engines.torch.cudnn_choice import (
    CHOICES,
    HEURISTIC,
    TIMED,
    VARIABLE,
    choosing,
)
from space.network.block import Block
from tests.gpu import cudnn_choice
from tests.helpers.fake_gpu import Gpu, use_fake_gpu

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return use_fake_gpu(monkeypatch)


def timed_of_convolutions(monkeypatch: pytest.MonkeyPatch, choice: str) -> list[tuple[bool, bool]]:
    """Of each convolution that is run for a unit: whether it is depthwise, whether cuDNN times."""
    seen = []
    convolve = torch.nn.Conv2d.forward

    def forward(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        seen.append((layer.groups > 1, torch.backends.cudnn.benchmark))
        return convolve(layer, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    TorchCudaEngine(1, "float32", choice).prepare([UNIT])
    return seen


@pytest.mark.parametrize(("choice", "timed"), [(TIMED, True), (HEURISTIC, False)])
def test_whether_convolutions_are_timed(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, choice: str, timed: bool
) -> None:
    """A unit has a depthwise convolution between two dense ones; warm-up and capture run each."""
    unit = [(False, timed), (True, timed), (False, timed)]
    assert timed_of_convolutions(monkeypatch, choice) == unit * (torch_cuda.WARM_UP + 1)
    assert not torch.backends.cudnn.benchmark


def test_settings_are_restored_after_an_error() -> None:
    def settings() -> tuple[bool, bool]:
        return torch.backends.cudnn.benchmark, torch._C._cuda_get_conv_benchmark_empty_cache()

    before = settings()
    for choice in CHOICES:
        with pytest.raises(KeyError, match="x"), choosing(choice):
            assert settings() == (choice != HEURISTIC, False)
            raise KeyError("x")
        assert settings() == before


def test_the_header_says_how(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert get_engine("torch-cuda").accelerator_info()["cudnn_choice"] == TIMED  # type: ignore[attr-defined]
    monkeypatch.setenv(VARIABLE, "heuristic")
    assert get_engine("torch-cuda").accelerator_info()["cudnn_choice"] == HEURISTIC  # type: ignore[attr-defined]
    monkeypatch.setenv(VARIABLE, "best")
    message = "G4NAS_CUDNN_CHOICE must be one of timed, heuristic; got 'best'"
    with pytest.raises(ValueError, match=message):
        get_engine("torch-cuda")


def test_the_script_runs(gpu: Gpu, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--blocks", "2", "--networks", "0", "--rounds", "2", "--batch", "1"]
    assert cudnn_choice.main([*words, "--dtype", "float32"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chains"] == 2 and list(found["choices"]) == list(CHOICES)
    assert {row["slower"]["most"] for row in found["choices"].values()} == {0.0}  # a stand-in
    assert np.shape(found["each"]["prepare_s"]) == (2, 2)


def test_how_much_slower_a_choice_is() -> None:
    prepare_s = np.array([[1.0, 2.0], [0.5, 0.25]])
    run_s = np.array([[1.0, 2.0], [1.1, 1.8]])
    rows = cudnn_choice.summary(prepare_s, run_s)["choices"]
    assert [rows[choice]["prepare_s"] for choice in CHOICES] == [3.0, 0.75]
    found = rows[HEURISTIC]["slower"]
    assert (found["mean"], found["least"], found["most"]) == (0.0, -0.1, 0.1)
    assert rows[TIMED]["slower"]["most"] == 0
