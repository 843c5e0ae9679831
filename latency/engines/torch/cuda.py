"""PyTorch on an NVIDIA GPU: chains of blocks as CUDA graphs, timed by events inside them.

The time of a run is the GPU's time between two events that the graph records, one before its first
kernel and one after its last. It excludes the launch of the graph and the wait for its end, some
microseconds, so that a network's time is the sum of its blocks' times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latency.engines.lowering import input_shape
from latency.engines.memory import engine_errors
from latency.engines.torch.chain import chain_module
from latency.engines.torch.cuda_card import card_words, free_bytes, memory_errors, open_card
from latency.engines.torch.cuda_facts import (
    BUSY_SHARE,
    other_processes,
    process_words,
    read_facts,
)
from latency.engines.torch.cudnn_choice import choosing, usual_choice
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
WARM_UP = 3  # runs before the capture: libraries load, and cuDNN's kernels are chosen
# The share of the GPU's memory up to which torch keeps what dead graphs used. To give it back
# before each capture, as `torch.cuda.graph` does, means to allocate it again for the next one.
CACHE_SHARE = 0.25
INPUTS = 16  # that are kept for chains with inputs of the same shape
EVICT_TIMES = 2  # bytes written to overwrite the L2 cache, in sizes of that cache
BUSY_WRITES = 50  # such writes queued at once while clocks are read
BUSY_S = 0.05  # for how long before: the clocks of an idle GPU are low and take a while to rise


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Set the precision of products and convolutions of float32; restore it."""
    settings: list[tuple[Any, str, Any]] = [
        (torch.backends.cuda.matmul, "fp32_precision", precision),
        (torch.backends.cudnn.conv, "fp32_precision", precision),  # type: ignore[attr-defined]
    ]
    with ExitStack() as stack:
        for owner, name, value in settings:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


class GraphRun:
    """A module's run on one input, captured as a CUDA graph with an event at either end.

    External events become nodes of the graph (CUDA runtime API, `cudaEventRecordExternal`), so
    that each replay records them anew. A graph holds addresses, no tensors: the input and the
    weights must live as long as it does. What the run allocates between them is the graph's own
    (PyTorch, "CUDA semantics", section "Graph memory management").
    """

    def __init__(
        self, engine: TorchCudaEngine, module: torch.nn.Module, x: Tensor, side: Any
    ) -> None:
        self._engine, self._module, self._input = engine, module, x
        self._start, self._end = (
            torch.cuda.Event(enable_timing=True, external=True) for _ in range(2)
        )
        self._graph = torch.cuda.CUDAGraph()
        side.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(side):
            for _ in range(WARM_UP):
                module(x)
            torch.cuda.synchronize()
            self._graph.capture_begin()
            try:
                self._start.record()
                self._output = module(x)
                self._end.record()
            except BaseException:
                with suppress(RuntimeError):  # it says that what it has is no graph
                    self._graph.capture_end()
                raise
            self._graph.capture_end()
        torch.cuda.current_stream().wait_stream(side)

    def run(self) -> None:
        self._graph.replay()
        torch.cuda.synchronize()
        self._engine.now_s += self._start.elapsed_time(self._end) / 1e3

    def outputs(self) -> list[np.ndarray]:
        """What the last run gave, as float32."""
        return [self._output.float().cpu().numpy()]


class TorchCudaEngine:
    """PyTorch on the current GPU, channels last. Only runs advance its clock; `threads` has no
    effect. `choice`: one of `latency.engines.torch.cudnn_choice.CHOICES`; "": the usual one."""

    name = "torch-cuda"
    version = torch.__version__

    def __init__(self, threads: int, dtype: str, choice: str = "") -> None:
        self.threads, self.dtype, self.choice = threads, dtype, choice or usual_choice()
        self.now_s = 0.0
        self._inputs: dict[tuple[int, ...], Tensor] = {}
        self._device = open_card(dtype)
        # Before any work of ours; None where nothing tells it.
        self._busy_before: float | None = read_facts(self._uuid).get("utilization")
        busy = (self._busy_before or 0) > BUSY_SHARE
        self._busy_with = process_words(other_processes(self._uuid)) if busy else ""
        size = EVICT_TIMES * self._device.L2_cache_size
        with memory_errors(self._device, "this engine"):
            self._other = torch.empty(size, dtype=torch.uint8, device=DEVICE)
            # One for all chains: a library's workspace and torch's cache belong to a stream.
            self._side = torch.cuda.Stream()

    @property
    def _uuid(self) -> str:
        return f"GPU-{self._device.uuid}"

    @property
    def device_words(self) -> str:
        """The GPU's name, and which of several it is."""
        return card_words(self._device)

    def available_bytes(self) -> int:
        """Bytes of GPU memory that a chain can have."""
        return free_bytes()

    @property
    def versions(self) -> dict[str, str]:
        cudnn = str(torch.backends.cudnn.version() or "")
        return {"torch": self.version, "cuda": torch.version.cuda or "", "cudnn": cudnn}

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> GraphRun:
        """The chain as one CUDA graph; MemoryError, with what is free, if the GPU is full."""
        numbers, precision = DTYPES[self.dtype]
        options: dict[str, Any] = {"device": DEVICE, "dtype": numbers}
        options["memory_format"] = torch.channels_last
        if torch.cuda.memory_reserved() > CACHE_SHARE * self._device.total_memory:
            self._inputs.clear()
            torch.cuda.empty_cache()
        with (
            memory_errors(self._device, f"batch {batch}"),
            rounding(precision),
            choosing(self.choice),
        ):
            module = chain_module(blocks, weights).to(**options)
            return GraphRun(self, module, self._images(blocks, batch, options), self._side)

    def _images(self, blocks: Sequence[Block], batch: int, options: dict[str, Any]) -> Tensor:
        """The input of a chain. To draw it takes as long as to make a short chain, so the last
        ones are kept; no chain writes to it."""
        shape = tuple(map(int, input_shape(blocks, batch)))
        if shape not in self._inputs:
            while len(self._inputs) >= INPUTS:
                del self._inputs[next(iter(self._inputs))]
            self._inputs[shape] = torch.from_numpy(fixed_input(shape)).to(**options)
        return self._inputs[shape]

    def evict(self) -> None:
        """Overwrite the L2 cache. It is queued: the next run begins when it is done."""
        self._other.zero_()

    def clock(self) -> float:
        return self.now_s

    def accelerator_info(self) -> dict[str, Any]:
        """The GPU, for a table's header; its clocks under load."""
        with self._busy():
            found = read_facts(self._uuid)
        found.pop("utilization", None)  # ours
        if self._busy_before is not None:
            found["busy_before"] = self._busy_before
        if self._busy_with:
            found["busy_with"] = self._busy_with
        return {
            "name": self._device.name,
            "card": self.device_words,
            "uuid": self._uuid,
            "compute_capability": f"{self._device.major}.{self._device.minor}",
            "multiprocessors": self._device.multi_processor_count,
            "memory": self._device.total_memory,
            "l2_cache": self._device.L2_cache_size,
            "cudnn_choice": self.choice,
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
    """The engine.

    Raises:
        OSError: torch finds no GPU, or the GPU cannot run this dtype or be used at all.
        MemoryError: other programs have all of its memory.
    """
    with engine_errors("torch-cuda"):
        return TorchCudaEngine(threads, dtype)
