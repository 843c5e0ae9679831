"""PyTorch on an NVIDIA GPU: chains of blocks as CUDA graphs, timed by events inside them.

Not yet run on a GPU: written from the documentation of PyTorch 2.14 and CUDA 13.

The time of a run is the GPU's time between two events that the graph records, one before its first
kernel and one after its last. It excludes the launch of the graph and the wait for its end, some
microseconds, so that a network's time is the sum of its blocks' times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latency.engines.lowering import input_shape
from latency.engines.torch.chain import build_chain
from latency.engines.torch.cuda_facts import read_facts
from latency.engines.weights import Weights
from latency.ondevice.runners.cpu import fixed_input
from space.network.block import Block

# dtype -> dtype of tensors, and how convolutions and products of float32 round their factors
# (PyTorch, "CUDA semantics", section "TensorFloat-32 on Ampere and later devices").
DTYPES = {
    "float32": (torch.float32, "ieee"),
    "tf32": (torch.float32, "tf32"),
    "float16": (torch.float16, "ieee"),
}
DEVICE = "cuda"
WARM_UP = 3  # runs before the capture: libraries load, cuDNN times its kernels and picks
EVICT_TIMES = 2  # bytes written to overwrite the L2 cache, in sizes of that cache
BUSY_WRITES = 50  # such writes queued at once while clocks are read
BUSY_S = 0.05  # for how long before: the clocks of an idle GPU are low and take a while to rise


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Set float32's precision, and let cuDNN pick kernels by timing them; restore both."""
    settings: list[tuple[Any, str, Any]] = [
        (torch.backends.cuda.matmul, "fp32_precision", precision),
        (torch.backends.cudnn.conv, "fp32_precision", precision),  # type: ignore[attr-defined]
        (torch.backends.cudnn, "benchmark", True),
    ]
    with ExitStack() as stack:
        for owner, name, value in settings:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


class GraphRun:
    """A module's run on one input, captured as a CUDA graph with an event at either end.

    External events become nodes of the graph (CUDA runtime API, `cudaEventRecordExternal`), so
    that each replay records them anew.
    """

    def __init__(self, engine: TorchCudaEngine, module: torch.nn.Module, x: Tensor) -> None:
        self._engine, self._input = engine, x
        self._start, self._end = (
            torch.cuda.Event(enable_timing=True, external=True) for _ in range(2)
        )
        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    module(x)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._start.record()
                self._output = module(x)
                self._end.record()

    def run(self) -> None:
        self._graph.replay()
        torch.cuda.synchronize()
        self._engine.now_s += self._start.elapsed_time(self._end) / 1e3

    def outputs(self) -> list[np.ndarray]:
        """What the last run gave, as float32."""
        return [self._output.float().cpu().numpy()]


class TorchCudaEngine:
    """PyTorch on the current GPU, channels last. Only runs advance its clock; `threads` has no
    effect."""

    name = "torch-cuda"
    version = torch.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.now_s = 0.0
        self._device = torch.cuda.get_device_properties(torch.cuda.current_device())
        size = EVICT_TIMES * self._device.L2_cache_size
        self._other = torch.empty(size, dtype=torch.uint8, device=DEVICE)

    @property
    def versions(self) -> dict[str, str]:
        cudnn = str(torch.backends.cudnn.version() or "")
        return {"torch": self.version, "cuda": torch.version.cuda or "", "cudnn": cudnn}

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> GraphRun:
        """The chain as one CUDA graph."""
        numbers, precision = DTYPES[self.dtype]
        options: dict[str, Any] = {"device": DEVICE, "dtype": numbers}
        options["memory_format"] = torch.channels_last
        module = build_chain(blocks, weights).to(**options)
        x = torch.from_numpy(fixed_input(input_shape(blocks, batch))).to(**options)
        with rounding(precision):
            return GraphRun(self, module, x)

    def evict(self) -> None:
        """Overwrite the L2 cache. It is queued: the next run begins when it is done."""
        self._other.zero_()

    def clock(self) -> float:
        return self.now_s

    def accelerator_info(self) -> dict[str, Any]:
        """The GPU, for a table's header; its clocks under load."""
        with self._busy():
            found = read_facts(f"GPU-{self._device.uuid}")
        return {
            "name": self._device.name,
            "compute_capability": f"{self._device.major}.{self._device.minor}",
            "multiprocessors": self._device.multi_processor_count,
            "memory": self._device.total_memory,
            "l2_cache": self._device.L2_cache_size,
            **found,
        }

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Load the GPU from another thread; at the end it is idle."""
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                for _ in range(BUSY_WRITES):
                    self._other.zero_()
                torch.cuda.synchronize()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            time.sleep(BUSY_S)
            yield
        finally:
            done.set()
            thread.join()


def open_engine(threads: int, dtype: str) -> TorchCudaEngine:
    """The engine; OSError if torch finds no GPU."""
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise OSError(
            f"engine 'torch-cuda' needs an NVIDIA GPU and a torch built for CUDA; got torch "
            f"{torch.__version__} {built}, which finds none: check nvidia-smi"
        )
    return TorchCudaEngine(threads, dtype)
