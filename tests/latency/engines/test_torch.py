"""What the engines on torch do beyond the contract of tests/latency/engines/test_engines.py."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from latency.engines.registry import get_engine
from latency.engines.torch import compile as torch_compile
from latency.engines.torch import cuda as torch_cuda
from latency.engines.torch.chain import build_chain
from latency.engines.torch.eager import Threads
from latency.engines.weights import random_weights
from latency.ondevice.timing import time_rounds
from space.network.block import Block

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
DENSE = Block("dense_layer", 5, 5, c_in=6, growth=4)


class TestChain:
    def test_layers_are_folded_convolutions(self) -> None:
        """Three convolutions of the unit; of the dense layer two and the one lone batch norm."""
        for block, convolutions, norms in ((UNIT, 3, 0), (DENSE, 2, 1)):
            chain = build_chain([block])
            called = [node.target for node in chain.graph.nodes if node.op == "call_module"]
            layers = [chain.get_submodule(str(target)) for target in called]
            convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
            lone = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
            assert (len(convs), len(lone)) == (convolutions, norms)
            assert len(layers) == convolutions + norms and not chain.training
            assert all(conv.bias is not None for conv in convs)

    def test_weights_are_the_given_ones(self) -> None:
        given = random_weights(5)
        weight, bias = given(0, 2, UNIT.ops[2])
        chain = build_chain([UNIT], random_weights(5))
        layer = chain.get_submodule("blocks.0.2.conv")
        assert np.array_equal(layer.weight.numpy(), weight)
        assert np.array_equal(layer.bias.numpy(), bias)

    def test_leaves_the_global_generator_alone(self) -> None:
        before = torch.random.get_rng_state()
        build_chain([UNIT, UNIT])
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_no_blocks(self) -> None:
        with pytest.raises(ValueError, match="at least one block; got none"):
            build_chain([])

    def test_blocks_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match=r"takes \(6, 5, 5\); got \(8, 6, 6\)"):
            build_chain([UNIT, DENSE])


class TestThreads:
    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_set_for_a_run_and_restored(self, threads: int) -> None:
        engine, before = get_engine("torch", threads=threads), torch.get_num_threads()
        run, seen = engine.prepare([UNIT]), []
        run._function = lambda x: seen.append(torch.get_num_threads())  # type: ignore[attr-defined]
        run.run()
        assert seen == [threads] and torch.get_num_threads() == before

    def test_restored_after_an_error(self) -> None:
        before = torch.get_num_threads()
        with pytest.raises(KeyError, match="x"), Threads(before + 1):
            raise KeyError("x")
        assert torch.get_num_threads() == before


def test_eager_runs_channels_last() -> None:
    run = get_engine("torch").prepare([Block("conv", 6, 6, c_in=3, c_out=4, kernel=3)])
    layout = torch.channels_last
    assert run._input.is_contiguous(memory_format=layout)  # type: ignore[attr-defined]
    (weight,) = (p for p in run._function.parameters() if p.ndim == 4)  # type: ignore[attr-defined]
    assert weight.is_contiguous(memory_format=layout)


class TestCompiler:
    def test_missing_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(FileNotFoundError, match=r"there is no no-such-compiler on PATH: inst"):
            get_engine("torch-compile")

    def test_its_complaint_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if torch_compile.shutil.which(os.environ.get("CXX") or "g++") is None:
            pytest.skip("no C++ compiler here")
        text = "Error: C++ compile error\n\nOutput:\na.cpp:1: fatal error: Python.h: missing\nrest"

        def fail(*_: object, **__: object) -> None:
            raise torch_compile.BackendCompilerFailed(lambda: None, RuntimeError(text), None)

        monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
        with pytest.raises(OSError, match=r"OpenMP .*; got: a\.cpp:1: fatal error: Python\.h: mi"):
            get_engine("torch-compile").prepare([UNIT])

    def test_threads_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Inductor compiles their number into its loops."""
        if torch_compile.shutil.which(os.environ.get("CXX") or "g++") is None:
            pytest.skip("no C++ compiler here")
        told = []
        monkeypatch.setattr(torch, "compile", lambda module, **words: told.append(words) or module)
        get_engine("torch-compile", threads=3).prepare([UNIT])
        assert [words["options"] for words in told] == [{"freezing": True, "cpp.threads": 3}]


class Gpu:
    """Stands in for torch.cuda: writes down what is asked of it, and runs on the CPU."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.properties = SimpleNamespace(
            L2_cache_size=1024, name="Chip", major=9, minor=0, multi_processor_count=132,
            total_memory=2**30, uuid="1234",
        )  # fmt: skip

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def get_device_properties(self, device: int) -> SimpleNamespace:
        return self.properties

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def current_stream(self) -> Gpu:
        return self

    Stream = current_stream

    def wait_stream(self, other: Gpu) -> None:
        self.log.append("wait")

    def stream(self, stream: Gpu) -> Gpu:
        return self

    def graph(self, graph: object) -> Gpu:
        self.log.append("capture")
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.log.append("left")

    def CUDAGraph(self) -> SimpleNamespace:
        return SimpleNamespace(replay=lambda: self.log.append("replay"))

    def Event(self, **options: bool) -> SimpleNamespace:
        assert options == {"enable_timing": True, "external": True}

        def elapsed_time(other: object) -> float:
            self.log.append("read")
            return 1.5

        return SimpleNamespace(record=lambda: self.log.append("record"), elapsed_time=elapsed_time)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    fake = Gpu()
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(torch_cuda, "DEVICE", "cpu")
    return fake


class TestCuda:
    """Logic alone: what a GPU makes of it is tested where there is one, by the contract."""

    def test_without_a_gpu_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.version, "cuda", None)
        with pytest.raises(OSError, match=r"^engine 'torch-cuda' needs an NVIDIA GPU .* got torch "
                           r"\S+ without CUDA, which finds none: check nvidia-smi$"):  # fmt: skip
            get_engine("torch-cuda")

    @pytest.mark.parametrize("precision", ["ieee", "tf32"])
    def test_rounding_is_set_and_restored(self, precision: str) -> None:
        def settings() -> tuple[str, str, bool]:
            backends = torch.backends
            matmul, conv = backends.cuda.matmul, backends.cudnn.conv
            return matmul.fp32_precision, conv.fp32_precision, backends.cudnn.benchmark

        before = settings()
        assert before != (precision, precision, True)
        with pytest.raises(KeyError, match="x"), torch_cuda.rounding(precision):
            assert settings() == (precision, precision, True)
            raise KeyError("x")
        assert settings() == before

    def test_events_stand_inside_the_graph(self, gpu: Gpu) -> None:
        get_engine("torch-cuda").prepare([UNIT])
        assert gpu.log == ["wait", "left", "wait", "capture", "record", "record", "left"]

    def test_a_run_waits_before_it_reads_the_events(self, gpu: Gpu) -> None:
        engine = get_engine("torch-cuda")
        run = engine.prepare([UNIT])
        gpu.log.clear()
        run.run()
        run.run()
        assert gpu.log == ["replay", "synchronize", "read"] * 2
        assert engine.clock() == pytest.approx(0.003)

    def test_a_sample_is_one_run(self, gpu: Gpu) -> None:
        """The clock has no step of its own, so that nothing runs in a loop with warm caches."""
        engine = get_engine("torch-cuda")
        times = list(time_rounds([engine.prepare([UNIT])], engine, engine.clock, 2, [False]))
        assert np.array(times) == pytest.approx(np.full((2, 1), 0.0015))
        # One run for the choice of loops, then one before and one in each of three rounds.
        assert gpu.log.count("replay") == 1 + 3 * 2

    def test_dtypes(self, gpu: Gpu) -> None:
        for dtype, numbers in (("tf32", torch.float32), ("float16", torch.float16)):
            run = get_engine("torch-cuda", dtype=dtype).prepare([UNIT], batch=8)
            assert run._input.dtype == numbers  # type: ignore[attr-defined]
            assert run._input.is_contiguous(memory_format=torch.channels_last)  # type: ignore[attr-defined]
            (got,) = run.outputs()  # type: ignore[attr-defined]
            assert got.shape == (8, 8, 6, 6) and got.dtype == np.float32

    def test_eviction_writes_more_than_the_cache(self, gpu: Gpu) -> None:
        engine = get_engine("torch-cuda")
        engine._other += 1  # type: ignore[attr-defined]
        engine.evict()
        assert engine._other.nbytes > 1024 and not engine._other.any()  # type: ignore[attr-defined]

    def test_facts_are_read_while_the_gpu_works(
        self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch_cuda, "BUSY_S", 0)
        before = threading.active_count()

        def read(uuid: str) -> dict[str, float]:
            assert uuid == "GPU-1234" and threading.active_count() == before + 1
            seen = len(gpu.log)
            while len(gpu.log) == seen:
                pass
            return {"sm_clock_mhz": 1980}

        monkeypatch.setattr(torch_cuda, "read_facts", read)
        facts = get_engine("torch-cuda").accelerator_info()  # type: ignore[attr-defined]
        assert facts["sm_clock_mhz"] == 1980 and facts["compute_capability"] == "9.0"
        assert facts["name"] == "Chip" and threading.active_count() == before

    def test_no_thread_is_left_after_an_error(
        self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(uuid: str) -> None:
            raise KeyError(uuid)

        monkeypatch.setattr(torch_cuda, "read_facts", fail)
        before = threading.active_count()
        with pytest.raises(KeyError, match="GPU-1234"):
            get_engine("torch-cuda").accelerator_info()  # type: ignore[attr-defined]
        assert threading.active_count() == before
