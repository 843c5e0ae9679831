"""Batches for a training without images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from evaluator.training.images.batches import seeded


class FixedBatches:
    """The same random batches for every training, a function of the step: [8, 3, 16, 16] of three
    classes. `scale`: a factor of the pixels."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = seeded(7, step)
        labels = torch.randint(0, 3, (8,), generator=generator)
        x = torch.randn(8, 3, 16, 16, generator=generator)
        x[torch.arange(8), labels] += 2
        return x * self.scale, labels

    def train(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.batch(step) for step in range(first, last))

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.batch(step) for step in (100, 101))
