"""The steps of a training as one CUDA graph: the device reads which images, learning rate and
weight it takes from tables in its memory, so that nothing waits for it and nothing is sent to it
from one step to the next."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from evaluator.training.images.resident import ResidentBatches
from evaluator.training.process import uninterrupted
from space.common.cli import log

WINDOW = 256  # steps of a table
# Steps before the capture: libraries load and allocate. What they change is put back.
WARM_UP = 3


@dataclass(eq=False)
class DeviceSteps:
    """Makes steps, each a call without arguments that returns the loss, a scalar on the device.

    On a GPU a step is a replay of a captured graph, which has the addresses of everything that it
    reads and changes: they must stay the same tensors. On the CPU the same code runs op by op.

    Args:
        learn: of images, labels, the weight of the average, and `draws`: one step; returns the
            loss.
        values: of a step: its learning rate, and the weight of the average.
        rate: the learning rate that the optimizer reads, a scalar on the device.
        changed: every tensor that a step changes.
        draws: of a step: what else it reads, on the CPU, always of the same shapes.
    """

    data: ResidentBatches
    learn: Callable[..., Tensor]
    values: Callable[[int], tuple[float, float]]
    rate: Tensor
    changed: Sequence[Tensor]
    draws: Callable[[int], tuple[Tensor, ...]] = lambda step: ()
    loss: Tensor = field(init=False)
    _tables: tuple[Tensor, ...] = field(init=False)
    _at: Tensor = field(init=False)
    _replay: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        device, size = self.rate.device, self.data.size
        self.loss = torch.zeros((), device=device)
        others = self.draws(0)
        # Of each step: indices of images, random numbers, its `values`, and its `draws`.
        self._tables = (
            torch.zeros(WINDOW, size, dtype=torch.int64, device=device),
            torch.zeros(WINDOW, size, 3, device=device),
            torch.zeros(WINDOW, 2, device=device),
            *(
                torch.zeros(WINDOW, *each.shape, dtype=each.dtype, device=device)
                for each in others
            ),
        )
        self._at = torch.zeros(1, dtype=torch.int64, device=device)

    def steps(self, first: int, last: int) -> Iterator[Callable[[], Tensor]]:
        """What to call for each of steps first .. last - 1, in order."""
        for step in range(first, last):
            if step == first or step % WINDOW == 0:
                self._fill(step, min(last, (step // WINDOW + 1) * WINDOW))
            if self._replay is None:
                with uninterrupted():
                    self._replay = self._captured() if self.rate.is_cuda else self._step
            yield self._one

    def _one(self) -> Tensor:
        assert self._replay is not None
        self._replay()
        return self.loss

    def _fill(self, first: int, last: int) -> None:
        """Write the tables of steps first .. last - 1."""
        values = torch.tensor([self.values(step) for step in range(first, last)])
        drawn = zip(*(self.draws(step) for step in range(first, last)), strict=True)
        found = (*self.data.tables(first, last), values, *map(torch.stack, drawn))
        for table, rows in zip(self._tables, found, strict=True):
            # Only from pinned memory is a copy queued behind the steps before it.
            rows = rows.pin_memory() if table.is_cuda else rows
            table[: last - first].copy_(rows, non_blocking=True)
        self._at.zero_()

    def _step(self) -> None:
        chosen, draws, values, *others = (
            table.index_select(0, self._at)[0] for table in self._tables
        )
        self.rate.copy_(values[0])
        loss = self.learn(*self.data.compose(chosen, draws), values[1], *others)
        self.loss.copy_(loss.detach())
        self._at.add_(1)

    def _captured(self) -> Callable[[], object]:
        """The step as a graph (PyTorch, "CUDA semantics", section "Whole-network capture"). Where
        CUDA refuses that, the step itself, which takes as many launches as it has kernels."""
        device = self.rate.device
        current = torch.cuda.current_stream(device)
        # A capture needs a stream other than the default one, and gradients the stream that the
        # steps before it ran on.
        side = torch.cuda.Stream(device)
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):
                self._warm_up()
                torch.cuda.synchronize(device)
                torch.cuda.empty_cache()  # the graph has memory of its own
                return capture_step(self._step)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0][:200]
            log(f"warning: CUDA records no graph of a step ({reason}): training is slower")
            return self._step
        finally:
            current.wait_stream(side)

    def _warm_up(self) -> None:
        """Take a few steps, and put back what they changed."""
        kept = [value.clone() for value in self.changed]
        try:
            for _ in range(WARM_UP):
                self._at.zero_()
                self._step()
        finally:
            self._at.zero_()
            with torch.no_grad():
                for value, before in zip(self.changed, kept, strict=True):
                    value.copy_(before)


def capture_step(step: Callable[[], object]) -> Callable[[], object]:
    """What replays the kernels of `step`, captured on the current stream.

    Raises:
        RuntimeError: CUDA refuses something in it.
    """
    graph = torch.cuda.CUDAGraph()
    collecting = gc.isenabled()
    gc.disable()  # to free another graph in a capture is an error
    graph.capture_begin()
    try:
        step()
    except BaseException:
        with suppress(RuntimeError):  # it says that what it has is no graph
            graph.capture_end()
        raise
    else:
        graph.capture_end()
    finally:
        if collecting:
            gc.enable()
    return graph.replay
