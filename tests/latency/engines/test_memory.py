"""What needs more memory than there is, and engines that fail: one line each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from latency.devices.local import LocalSession
from latency.engines import __main__
from latency.engines.memory import check_memory, engine_errors, least_bytes
from latency.engines.registry import get_engine
from latency.ondevice import host
from space.common.errors import EngineError
from space.network.block import Block
from space.zoo.families import shufflenet_v2

CONV = Block("conv", 10, 20, c_in=4, c_out=8)


def test_least_bytes_by_hand() -> None:
    """A convolution reads 4 and writes 8 channels of 10 x 20 pixels, for 3 images."""
    assert least_bytes([CONV], 3) == 3 * 4 * 8 * 200
    assert least_bytes([CONV], 3, "int8") == 3 * 4 * 4 * 200  # the input stays float32
    stem = 4 * 24 * 112 * 112  # the largest tensor of ShuffleNet v2
    network = shufflenet_v2("1.0").blocks
    assert least_bytes(network, 1) == stem and least_bytes(network, 100) == 100 * stem


def test_what_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = least_bytes([CONV], 3)
    for free in (needed, None):
        monkeypatch.setattr(host, "available_bytes", lambda free=free: free)
        check_memory([(CONV,)], 3)
    monkeypatch.setattr(host, "available_bytes", lambda: needed - 1)
    with pytest.raises(MemoryError, match=r"batch 3 needs at least 0\.0 GiB, 0\.0 GiB are free"):
        check_memory([(CONV,)], 3)


def test_a_session_does_not_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "available_bytes", lambda: 2**30)
    with LocalSession(get_engine("null")) as session:
        assert session.time([(CONV,)], batch=3, rounds=1).times.shape == (1, 1)
        with pytest.raises(MemoryError, match="use a smaller batch or smaller images"):
            session.time([(CONV,)], batch=600_000, rounds=1)
        with pytest.raises(MemoryError, match=r"needs at least 3\.6 GiB, 1\.0 GiB are free"):
            session.outputs((CONV,), batch=600_000)


def torch_allocates() -> None:
    torch.empty(2**45)


def numpy_allocates() -> None:
    np.empty(2**45)


def raises(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "fail",
    [
        torch_allocates,
        numpy_allocates,
        raises(RuntimeError("std::bad_alloc")),
        raises(Fail("Failed to allocate memory for requested buffer of size 1000")),
    ],
)
def test_too_little_memory_in_a_library(fail: Callable[[], None]) -> None:
    with pytest.raises(MemoryError, match=r"^torch: .") as caught, engine_errors("torch"):
        fail()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("error", [RuntimeError("no\nkernel"), Fail("[ONNXRuntimeError] : 1")])
def test_a_library_that_fails(error: Exception) -> None:
    with pytest.raises(EngineError, match=r"^ncnn cannot run this here: ") as caught:
        with engine_errors("ncnn"):
            raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [ValueError("ours"), KeyError("ours"), KeyboardInterrupt("ours")]
)
def test_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error), match="ours"), engine_errors("ncnn"):
        raise error


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--engines", ""], 2, ""),
        (["--engines", ",", "--network", "x"], 2, ""),
        (["--engines", "onnxruntime", "--network", ""], 2, ""),
        (["--engines", "null", "--batch", "100000000"], 2, "--batch must be from 1 to 65536"),
        (["--engines", "null", "--threads", "100000"], 2, "--threads must be from 1 to 1024"),
        (["--engines", "null", "--rounds", "-1"], 2, "--rounds must be from 2 to 1000000"),
        (["--engines", "onnxruntime", "--network", "ShuffleNet v2 1.0x", "--batch", "65536"], 1,
         "not enough memory: batch 65536 needs at least"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    words: list[str], status: int, says: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(host, "available_bytes", lambda: 2**34)
    try:
        assert __main__.main(words) == status
    except SystemExit as error:
        assert error.code == status
    said = capsys.readouterr()
    assert said.err.startswith("latency.engines: ") and said.err.count("\n") == 1
    assert says in said.err and said.out == ""


def test_an_engine_named_twice_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--engines", "null,null"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
