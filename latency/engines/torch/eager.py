"""PyTorch on the CPU, op by op (eager), on this host only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from latency.engines.lowering import input_shape
from latency.engines.torch.chain import build_chain
from latency.engines.weights import Weights
from latency.ondevice.runners.cpu import CpuRunner, fixed_input
from space.network.block import Block


class Threads:
    """Sets torch's number of threads, which is the process's, inside a context."""

    def __init__(self, threads: int) -> None:
        self.threads = self._before = threads

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != self.threads:
            torch.set_num_threads(self.threads)

    def __exit__(self, *_: object) -> None:
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


class TorchEngine(CpuRunner):
    """PyTorch with `threads` threads, float32, channels last (speeds: docs/results/engines.md)."""

    name = "torch"
    version = torch.__version__
    versions = {"torch": version}  # noqa: RUF012

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> EagerModel:
        """The chain as one module."""
        layout = torch.channels_last
        module = build_chain(blocks, weights).to(memory_format=layout)  # type: ignore[call-overload]
        x = torch.from_numpy(fixed_input(input_shape(blocks, batch))).to(memory_format=layout)
        return EagerModel(self.transform(module), x, self.threads)

    def transform(self, module: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        """The function to run for the module."""
        return module


open_engine = TorchEngine
