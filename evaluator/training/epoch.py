"""What a training takes and gives: batches, and the results of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluator.training.images.batches import Batch


class Batches(Protocol):
    """Where the loop gets its data. `train`: of steps first .. last - 1; `test`: all once."""

    def train(self, first: int, last: int) -> Iterator[Batch]: ...

    def test(self) -> Iterator[Batch]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The results of an epoch: accuracy in percent, `seconds` of wall time since the start."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    test_loss: float
    test_accuracy: float
    seconds: float


def evaluation_sums(
    module: nn.Module, batches: Iterator[Batch], autocast: torch.autocast, device: str
) -> Tensor:
    """Float64 [3], on the device: the sum of the cross-entropies, how many answers are right, and
    how many images there are. It is for the caller to read it, once."""
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    for x, labels in batches:
        with autocast:
            logits = module(x)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        right = (logits.argmax(1) == labels).sum()
        sums[:2] += torch.stack([loss.double(), right.double()])
        sums[2:] += len(x)
    return sums
