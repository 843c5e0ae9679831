"""Looks at losses without making a GPU wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def copied(value: Tensor) -> tuple[Tensor, Any]:
    """A scalar's copy on the CPU, and the event after which it is there."""
    found = torch.empty((), dtype=value.dtype, pin_memory=True)
    found.copy_(value, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return found, event


@dataclass(eq=False)
class LossWatch:
    """Gives each loss that it is shown to `check`, with its step.

    On the CPU at once. On a GPU a loss is copied behind the steps before it, and given to `check`
    with the next one, when it has long been there: to wait for it would leave the GPU idle, and
    the trainings beside this one.
    """

    check: Callable[[float, int], object]
    copied: Callable[[Tensor], tuple[Tensor, Any]] = copied
    _pending: tuple[Tensor, Any, int] | None = None

    def look(self, loss: Tensor, step: int) -> None:
        """Check this loss, or have it checked with the next one."""
        if not loss.is_cuda:
            self.check(float(loss.detach()), step)
            return
        self.settle()
        self._pending = *self.copied(loss.detach()), step

    def settle(self) -> None:
        """Check what was copied and not checked yet."""
        if self._pending is None:
            return
        value, event, step = self._pending
        self._pending = None
        event.synchronize()
        self.check(float(value), step)
