"""What a training takes and gives: batches, and the results of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from evaluator.training.batches import Batch


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
