"""Which GPU is used, and one line for each that cannot be: see the stand-in for what it cannot
show. That torch raises these errors is read from its source, not seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from latency import build
from latency.devices.health import warnings
from latency.devices.local import LocalSession
from latency.engines import __main__, check
from latency.engines.registry import ENGINES, get_engine
from latency.engines.torch import cuda as torch_cuda
from latency.engines.torch.cuda_card import has_kernels
from space.common.errors import EngineError
from space.network.block import Block
from tests.helpers.fake_gpu import Gpu, use_fake_gpu

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"
OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 12080). Please update your GPU "
    "driver by downloading and installing a new\nversion"
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return use_fake_gpu(monkeypatch)


def one_line(capsys: pytest.CaptureFixture[str], words: str = "torch-cuda") -> str:
    """What --check says of an engine that cannot run, on stderr after its progress."""
    assert __main__.main(["--check", words]) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 5  # two heads, a line per dtype
    (line,) = said.err.splitlines()
    assert line.startswith("latency.engines: torch-cuda float32, tf32, float16 cannot run here: ")
    return line


def test_torch_without_cuda(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "a torch built for CUDA; got torch" in one_line(capsys)
    with pytest.raises(OSError, match=r"built without: install another build \(https://pytorch"):
        get_engine("torch-cuda")


@pytest.mark.parametrize(
    ("refusal", "visible", "says"),
    [
        (RuntimeError(NO_DRIVER), None, "CUDA 13.0 finds no driver: install one, and check nvid"),
        (RuntimeError(OLD_DRIVER), None, "its driver is too old for torch"),
        (RuntimeError(OLD_DRIVER), "0", "it runs CUDA 12.8 at most: update the driver, or inst"),
        (RuntimeError("No CUDA GPUs are available"), None, "finds none (No CUDA GPUs are avail"),
        (RuntimeError("No CUDA GPUs are available"), "", "with CUDA_VISIBLE_DEVICES='': unset"),
        (RuntimeError("No CUDA GPUs are available"), "7", "with CUDA_VISIBLE_DEVICES='7': uns"),
        (AssertionError("libcudart functions\nunavailable"), None, "finds none (libcudart funct"),
    ],
)
def test_no_gpu_that_torch_can_use(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    refusal: Exception, visible: str | None, says: str,
) -> None:  # fmt: skip
    gpu.refusal = refusal
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert says in one_line(capsys)
    with pytest.raises(OSError, match=r"^engine 'torch-cuda' needs an NVIDIA GPU") as caught:
        get_engine("torch-cuda")
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("capability", "dtype", "needs"),
    [
        ((7, 5), "tf32", r"^dtype tf32 needs compute capability 8\.0 \(Ampere\) or later; Chip "
                         r"has 7\.5: use --dtype float32$"),
        ((5, 2), "float16", r"^dtype float16 needs compute capability 5\.3 .*Chip has 5\.2"),
    ],
)  # fmt: skip
def test_a_dtype_that_the_gpu_lacks(
    gpu: Gpu, capability: tuple[int, int], dtype: str, needs: str
) -> None:
    gpu.built = ["sm_50", "sm_75", "sm_80"]
    gpu.properties.major, gpu.properties.minor = capability
    with pytest.raises(OSError, match=needs):
        get_engine("torch-cuda", dtype=dtype)
    assert get_engine("torch-cuda").dtype == "float32"


def test_check_goes_on_without_a_dtype_that_the_gpu_lacks(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU of 7.5 has no tf32: that row says so, and does not fail."""
    gpu.properties.major, gpu.properties.minor = 7, 5
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    monkeypatch.setattr(check, "BLOCKS", check.BLOCKS[:1])
    spec = ENGINES["torch-cuda"]
    both = type(spec)(spec.module, spec.packages, ("float32", "tf32"))
    monkeypatch.setitem(ENGINES, "torch-cuda", both)
    found = check.check_engines(["torch-cuda"])
    float32, tf32 = found["engines"]
    assert check.failures(found) == [] and float32["blocks"] == 1
    assert "needs compute capability 8.0 (Ampere) or later; Chip has 7.5" in tf32["missing"]


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 6), ["sm_75", "sm_80"], True),  # machine code of the same major version
        ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # PTX
        ((12, 0), ["sm_90", "sm_120"], True),
        ((9, 0), ["compute_120"], False),
        ((10, 0), ["sm_90a", "sm_100a"], False),
        ((9, 0), [], True),  # nothing is known
    ],
)
def test_kernels_for_a_gpu(capability: tuple[int, int], built: list[str], runs: bool) -> None:
    assert has_kernels(capability, built) == runs


def test_a_gpu_that_torch_has_no_kernels_for(gpu: Gpu) -> None:
    gpu.properties.major, gpu.properties.minor = 6, 1
    with pytest.raises(OSError, match=r"CUDA 13\.0 has no kernels for Chip \(compute capability "
                       r"6\.1\): install a build for it, or choose another GPU"):  # fmt: skip
        get_engine("torch-cuda")


def test_which_of_several_is_named(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed() -> str:
        assert __main__.main(["--engines", "torch-cuda"]) == 0
        return capsys.readouterr().out.splitlines()[0].split(torch.__version__)[1]

    assert listed() == " on Chip"
    gpu.count, gpu.number = 4, 2
    assert listed() == " on Chip, GPU 2 of 4"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    gpu.count, gpu.number = 1, 0
    assert listed() == " on Chip, GPU 0 of 1 in CUDA_VISIBLE_DEVICES=3"


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


FULL = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 1.25 GiB. GPU 0 has a total capacity of 1.00 GiB of "
    "which\n512 MiB is free."
)


@pytest.mark.parametrize(
    ("error", "needs"),
    [
        (FULL, r"^batch 4 needs 1\.25 GiB more than Chip has free \(0\.5 of 1\.0 GiB\): lower "
               r"--batch or the image size, or end the other programs on it$"),
        (RuntimeError("CUDA error: out of memory"), r"^batch 4 needs more memory than Chip has"),
    ],
)  # fmt: skip
def test_a_chain_that_does_not_fit(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, error: Exception, needs: str
) -> None:
    engine = get_engine("torch-cuda")
    monkeypatch.setattr(torch_cuda, "GraphRun", raising(error))
    with pytest.raises(MemoryError, match=needs):
        engine.prepare([UNIT], 4)
    with LocalSession(engine) as session, pytest.raises(MemoryError, match=needs[1:]) as caught:
        session.time([(UNIT,)], batch=4, rounds=1)
    assert "\n" not in str(caught.value)


def test_a_session_asks_for_the_gpus_memory(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free bytes and those that torch caches: 2 images of 8 x 36 numbers need 2304."""
    gpu.free, gpu.reserved, gpu.allocated = 2000, 1000, 697
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    with LocalSession(get_engine("torch-cuda")) as session:
        with pytest.raises(MemoryError, match=r"batch 2 needs at least .* are free on Chip: use"):
            session.time([(UNIT,)], batch=2, rounds=1)
        gpu.allocated = 696
        assert session.time([(UNIT,)], batch=2, rounds=1).times == pytest.approx(0.0015)


def test_a_gpu_that_others_fill(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "empty", raising(FULL))
    with pytest.raises(MemoryError, match=r"^torch-cuda: this engine needs 1\.25 GiB more than"):
        get_engine("torch-cuda")


def test_a_gpu_that_one_program_has_for_itself(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCUDA")
    monkeypatch.setattr(torch, "empty", raising(error))
    with pytest.raises(EngineError, match=r"torch-cuda cannot run this here: CUDA error: CUDA"):
        get_engine("torch-cuda")


def test_check_says_what_affects_times(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A busy GPU, and one that tells nothing; the times of the stand-in are all equal."""
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    monkeypatch.setattr(torch_cuda, "read_facts", lambda uuid: {"utilization": 0.83})
    spec = ENGINES["torch-cuda"]
    monkeypatch.setitem(ENGINES, "torch-cuda", type(spec)(spec.module, spec.packages))
    monkeypatch.setattr(check, "BLOCKS", check.BLOCKS[:1])
    __main__.main(["--check", "torch-cuda", "--format", "json"])
    (row, *_) = json.loads(capsys.readouterr().out)["engines"]
    assert row["device"] == "Chip" and row["wrong"] == []
    assert row["median_s"] == pytest.approx([0.0015, 0.0015])
    lines = "\n".join(row["notes"])
    assert "another program used the GPU for 83% of the time before this began: end it" in lines
    assert "the GPU's clocks and load cannot be read: pip install nvidia-ml-py, or put" in lines


def test_a_busy_gpu_names_its_processes(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first job, and again in the header; they are asked for only where it is busy."""
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    monkeypatch.setattr(torch_cuda, "other_processes", lambda uuid: {12: 2**30})
    for share, found in ((0.01, []), (0.4, ["for 40% of the time before this began (process 12"])):
        reading = {"utilization": share}
        monkeypatch.setattr(torch_cuda, "read_facts", lambda uuid, reading=reading: dict(reading))
        with LocalSession(get_engine("torch-cuda")) as session:
            lines = warnings(session.host_info, [])
            assert len(lines) == len(found) and all(map(str.__contains__, lines, found))
            assert ("busy_with" in session.state()) == bool(found)


def test_limits_are_named_before_and_after_a_build(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
    facts = {"sm_clock_mhz": 1980, "throttle": "power cap", "power_limit_w": 300.0}
    facts |= {"power_default_w": 700.0}
    monkeypatch.setattr(torch_cuda, "read_facts", lambda uuid: dict(facts))
    with LocalSession(get_engine("torch-cuda")) as session:
        for states in ([], [session.state()] * 3):
            slow, limit = warnings(session.host_info, states)
            assert slow == "the GPU was slowed by: power cap"
            assert limit.startswith("the GPU's power is limited to 300 W, by default 700 W")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dtype", "tf32"], "dtype tf32 needs compute capability 8.0 (Ampere) or later; Chip "
                              "has 7.5: use --dtype float32"),
        (["--dtype", "int8"], "dtype of torch-cuda must be one of float32, tf32, float16; got "
                              "'int8'"),
    ],
)  # fmt: skip
def test_a_build_in_a_dtype_that_the_gpu_lacks(
    gpu: Gpu, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    gpu.properties.major, gpu.properties.minor = 7, 5
    out = ["--out", str(tmp_path / "t")]
    assert build.main(["--device", "gpu", *words, *out]) in (1, 2)
    assert capsys.readouterr().err == f"latency.build: {message}\n"
    assert list(tmp_path.iterdir()) == []
