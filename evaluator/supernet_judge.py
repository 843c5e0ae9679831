"""The accuracy of a network cut from shared weights, and how it ranks trained ones.

Batch norm statistics of shared weights are those of no network, so each network gets its own:
reset, then averaged over a few training batches (Universally Slimmable Networks,
"Post-Statistics of Batch Normalization").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from evaluator.data_batches import Batch
from evaluator.supernet_weights import SharedWeights
from evaluator.train_loop import Batches
from space.network import Network

CALIBRATION = 8  # batches


@torch.no_grad()
def recalibrated(module: nn.Module, batches: Iterable[Batch]) -> None:
    """Reset the batch norms' statistics to the mean over these batches; weights stay."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    module.train()
    for x, _ in batches:
        module(x)
    module.eval()
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@dataclass(frozen=True, eq=False)
class Judge:
    """Tests networks one at a time, each on a copy of its part of the weights."""

    shared: SharedWeights
    data: Batches
    tests: Batches
    device: str = "cpu"
    amp: bool = False
    calibration: int = CALIBRATION

    @torch.no_grad()
    def one(self, network: Network) -> tuple[float, float]:
        """(cross-entropy, accuracy in percent) on all test images, in this process alone."""
        module = self.shared.cut(network)
        # The batches of the first steps: the same for every network and every time.
        recalibrated(module, self.data.train(0, self.calibration))
        total, right, count = 0.0, 0, 0
        for x, labels in self.tests.test():
            with torch.autocast(
                self.device.partition(":")[0], dtype=torch.bfloat16, enabled=self.amp
            ):
                logits = module(x).float()
            total += float(functional.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
            count += len(x)
        return total / count, 100 * right / count
