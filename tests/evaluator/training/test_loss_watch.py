"""When a loss is looked at. The stand-in cannot show that a copy waits for nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from evaluator.training.loss_watch import LossWatch
from space.common.errors import DivergedError


class OnGpu(Tensor):
    """A loss that says it is on a GPU."""

    is_cuda = True  # type: ignore[assignment]


def on_gpu(value: float) -> Tensor:
    return torch.tensor(value).as_subclass(OnGpu)


class Copies:
    """Copies whose values arrive when their event is waited for."""

    def __init__(self) -> None:
        self.waited = 0

    def __call__(self, value: Tensor) -> tuple[Tensor, Copies]:
        self.source, self.found = value, torch.zeros(())
        return self.found, self

    def synchronize(self) -> None:
        self.waited += 1
        self.found.copy_(self.source)


def test_on_the_cpu_at_once() -> None:
    seen: list[tuple[float, int]] = []
    watch = LossWatch(lambda value, step: seen.append((value, step)))
    watch.look(torch.tensor(2.0, requires_grad=True), 7)
    assert seen == [(2.0, 7)]
    watch.settle()
    assert seen == [(2.0, 7)]


def test_on_a_gpu_with_the_next_one() -> None:
    seen: list[tuple[float, int]] = []
    copies = Copies()
    watch = LossWatch(lambda value, step: seen.append((value, step)), copies)
    watch.look(on_gpu(2.0), 1)
    assert not seen and not copies.waited
    watch.look(on_gpu(3.0), 21)
    assert seen == [(2.0, 1)]
    watch.settle()
    watch.settle()
    assert seen == [(2.0, 1), (3.0, 21)] and copies.waited == 2


def test_a_loss_that_is_refused_is_refused_once() -> None:
    def check(value: float, step: int) -> None:
        raise DivergedError(f"{value} at {step}")

    watch = LossWatch(check, Copies())
    watch.look(on_gpu(float("nan")), 1)
    with pytest.raises(DivergedError, match="nan at 1"):
        watch.settle()
    watch.settle()
