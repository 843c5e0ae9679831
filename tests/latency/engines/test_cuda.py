"""The logic of PyTorch on a GPU, without one: see the stand-in for what it cannot show."""

from __future__ import annotations

import gc
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from latency.engines.registry import get_engine
from latency.engines.torch import cuda as torch_cuda
from latency.engines.torch.chain import chain_module
from latency.ondevice.timing import time_rounds
from space.network.block import Block
from tests.helpers.fake_gpu import Gpu, use_fake_gpu

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return use_fake_gpu(monkeypatch)


class TestCuda:
    """Logic alone: what a GPU makes of it is tested where there is one, by the contract."""

    @pytest.mark.parametrize("precision", ["ieee", "tf32"])
    def test_rounding_is_set_and_restored(self, precision: str) -> None:
        def settings() -> tuple[str, str]:
            backends = torch.backends
            return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision

        before = settings()
        assert before != (precision, precision)
        with pytest.raises(KeyError, match="x"), torch_cuda.rounding(precision):
            assert settings() == (precision, precision)
            raise KeyError("x")
        assert settings() == before

    def test_events_stand_inside_the_graph(self, gpu: Gpu) -> None:
        """Warm-up and capture are on one side stream, and nothing empties torch's cache."""
        get_engine("torch-cuda").prepare([UNIT])
        captured = ["begin", "record", "record", "end"]
        assert gpu.log == ["wait", "side", "synchronize", *captured, "left", "wait"]

    def test_what_a_graph_reads_lives_as_long_as_it(
        self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A graph holds addresses alone. The stand-in cannot show what a graph reads there."""
        seen: list[weakref.ref[Any]] = []

        def build(*args: Any) -> torch.nn.Module:
            module = chain_module(*args)
            seen.extend(weakref.ref(each) for each in (module, *module.parameters()))
            return module

        monkeypatch.setattr(torch_cuda, "chain_module", build)
        run = get_engine("torch-cuda").prepare([UNIT])
        gc.collect()
        assert len(seen) == 1 + 2 * 3 and all(each() is not None for each in seen)
        del run
        gc.collect()
        assert all(each() is None for each in seen)

    def test_the_last_inputs_are_kept(self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch_cuda, "INPUTS", 2)
        engine: Any = get_engine("torch-cuda")
        inputs = [engine.prepare([UNIT], batch)._input for batch in (1, 2, 1, 3, 1)]
        assert inputs[2] is inputs[0] and inputs[4] is not inputs[0]
        assert torch.equal(inputs[4], inputs[0])
        assert [each.shape[0] for each in engine._inputs.values()] == [3, 1]

    def test_a_failed_capture_is_ended(self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
        """What failed is raised, not what the graph then says."""

        def end() -> None:
            gpu.log.append("end")
            raise RuntimeError("capture was invalidated")

        def record() -> None:
            raise KeyError("the fault")

        graph = SimpleNamespace(capture_begin=lambda: None, capture_end=end)
        monkeypatch.setattr(gpu, "CUDAGraph", lambda: graph)
        monkeypatch.setattr(gpu, "Event", lambda **_: SimpleNamespace(record=record))
        with pytest.raises(KeyError, match="the fault"):
            get_engine("torch-cuda").prepare([UNIT])
        assert gpu.log.count("end") == 1

    def test_the_cache_is_emptied_once_it_is_large(self, gpu: Gpu) -> None:
        engine: Any = get_engine("torch-cuda")
        inputs = []
        for reserved, emptied in ((2**28, 0), (2**28, 0), (2**28 + 1, 1)):
            gpu.reserved = reserved
            inputs.append(engine.prepare([UNIT])._input)
            assert gpu.log.count("empty") == emptied
        assert inputs[1] is inputs[0] is not inputs[2]

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
            assert uuid == "GPU-1234"
            if threading.active_count() == before:
                return {"utilization": 0.25}  # before the engine works
            seen = len(gpu.log)
            while len(gpu.log) == seen:
                pass
            return {"sm_clock_mhz": 1980, "utilization": 1.0}

        monkeypatch.setattr(torch_cuda, "read_facts", read)
        facts = get_engine("torch-cuda").accelerator_info()  # type: ignore[attr-defined]
        assert facts["sm_clock_mhz"] == 1980 and facts["compute_capability"] == "9.0"
        assert facts["busy_before"] == 0.25 and "utilization" not in facts
        assert facts["name"] == "Chip" and threading.active_count() == before

    def test_no_thread_is_left_after_an_error(
        self, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(uuid: str) -> None:
            raise KeyError(uuid)

        engine: Any = get_engine("torch-cuda")
        monkeypatch.setattr(torch_cuda, "read_facts", fail)
        before = threading.active_count()
        with pytest.raises(KeyError, match="GPU-1234"):
            engine.accelerator_info()
        assert threading.active_count() == before
