"""PyTorch on the CPU, op by op (eager), on this host only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from latency.engines.lowering import input_shape
from latency.engines.torch.chain import build_chain, random_input
from latency.engines.weights import Weights
from latency.ondevice.runners.eviction import Eviction
from space.network.block import Block


class Threads:
    """Sets torch's number of threads, which is the process's, inside a context."""

    def __init__(self, threads: int) -> None:
        self.threads = self._before = threads

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != self.threads:
            torch.set_num_threads(self.threads)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before != self.threads:
            torch.set_num_threads(self._before)


class EagerModel:
    """A function on tensors and its input."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor, threads: int) -> None:
        self._function, self._input, self._threads = function, x, Threads(threads)
        self._output = x

    def run(self) -> None:
        with self._threads, torch.inference_mode():
            self._output = self._function(self._input)

    def outputs(self) -> list[np.ndarray]:
        """What the last run gave."""
        return [self._output.numpy()]


class TorchEngine:
    """PyTorch with `threads` threads, float32, channels last (speeds: docs/results/engines.md)."""

    name = "torch"

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.evict = Eviction()

    @property
    def version(self) -> str:
        return torch.__version__

    @property
    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> EagerModel:
        """The chain as one module, ready to run; random weights if None are given."""
        layout = torch.channels_last
        module = build_chain(blocks, weights).to(memory_format=layout)  # type: ignore[call-overload]
        x = random_input(input_shape(blocks, batch)).to(memory_format=layout)
        return EagerModel(self.transform(module), x, self.threads)

    def transform(self, module: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        """The function that is run in place of the module."""
        return module

    def clock(self) -> float:
        return time.perf_counter()


def open_engine(threads: int, dtype: str) -> TorchEngine:
    return TorchEngine(threads, dtype)
