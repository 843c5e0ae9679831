"""The training of shared weights: several networks a step, their gradients added.

It is `evaluator.train_loop` with another step and another evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluator.data_batches import WHOLE
from evaluator.supernet_judge import Judge
from evaluator.supernet_sample import Sampler
from evaluator.supernet_weights import SharedWeights
from evaluator.train_loop import Training
from space.network import Network
from space.shufflenet_v2 import ShuffleNetV2Space
from space.slots import Genes
from space.small import on_input

WATCHED = 2  # random networks whose accuracy is told after an epoch, beside the two ends


def small_network(
    space: ShuffleNetV2Space, row: Genes, side: int, classes: int, drop: int | None
) -> Network:
    """The network of a row of genes on this input."""
    whole = space.lower(space.architecture(row))
    return on_input(whole, side, side, classes=classes, drop=drop)


@dataclass(eq=False)
class SupernetTraining(Training):
    """Shared weights in training; `network` is the largest. With `distill`, the others of a step
    learn the largest's outputs in place of the labels (Universally Slimmable
    Networks, "Inplace Distillation"). Processes draw the same networks and add gradients."""

    sampler: Sampler = field(kw_only=True)
    classes: int = field(kw_only=True)
    transform: bool = field(default=False, kw_only=True)
    distill: bool = field(default=True, kw_only=True)
    watched: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        share, self.share = self.share, WHOLE  # no DDP: which weights take part changes by step
        super().__post_init__()
        self.share = share
        layout = torch.channels_last
        shared = SharedWeights(self.network, self.seed, transform=self.transform).to(self.device)
        self.shared: SharedWeights = shared.to(memory_format=layout)  # type: ignore[call-overload]
        self.module = self.shared
        self.optimizer = torch.optim.SGD(
            _groups(self.shared, self.recipe.weight_decay, self.recipe.decay_norm),
            lr=self.recipe.lr,
            momentum=self.recipe.momentum,
            nesterov=self.recipe.nesterov,
        )
        if self.recipe.ema:
            self.averaged = {k: v.clone() for k, v in self.module.state_dict().items()}

    def networks(self, genes: Genes) -> list[Network]:
        """The networks of genes, int16 [n, slots], on the training's input."""
        space, recipe = self.sampler.space, self.recipe
        return [small_network(space, g, recipe.input, self.classes, recipe.drop) for g in genes]

    def _one(self, x: Tensor, labels: Tensor) -> Tensor:
        factor = self.recipe.lr_factor(self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * factor
        self.optimizer.zero_grad(set_to_none=True)
        kind, smoothing = self.device.partition(":")[0], self.recipe.label_smoothing
        networks = self.networks(self.sampler.step(self.step, self.total))
        sandwich = self.sampler.sampling == "sandwich"
        target: Tensor | None = None
        first: Tensor | None = None
        for network in networks:
            with torch.autocast(kind, dtype=self.dtype, enabled=self.amp):
                logits = self.shared(x, network).float()
                if target is None:
                    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
                else:
                    loss = functional.cross_entropy(logits, target)
            if self.distill and sandwich and target is None:
                target = logits.detach().softmax(1)
            self.scaler.scale(loss / len(networks)).backward()
            first = loss.detach() if first is None else first
        assert first is not None
        if self.share.world > 1:
            for p in self.shared.parameters():  # the same ones have gradients in every process
                if p.grad is not None:
                    torch.distributed.all_reduce(p.grad)
                    p.grad /= self.share.world
        if self.recipe.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.shared.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged:
            self._average()
        return first

    def evaluate(self) -> tuple[float, float]:
        """(mean cross-entropy, mean accuracy in percent) of the ends and `WATCHED` networks, each
        with batch norms of its own; `watched` has the accuracies, largest and smallest first."""
        rng = np.random.default_rng([self.sampler.seed, 3])
        largest, smallest = self.sampler.ends(rng)
        rows = np.concatenate([largest[None], smallest[None], self.sampler.draw(WATCHED, rng)])
        judge = Judge(self.shared, self.data, self.tests, device=self.device, amp=self.amp)
        found = [judge.one(network) for network in self.networks(rows)]
        self.watched = [accuracy for _, accuracy in found]
        return float(np.mean([loss for loss, _ in found])), float(np.mean(self.watched))


def _groups(module: nn.Module, decay: float, decay_norm: bool) -> list[dict[str, object]]:
    """Parameters with and without weight decay; kernel transforms stay near the centre crop."""
    named = list(module.named_parameters())
    weights = [p for n, p in named if p.ndim > 1 and not n.startswith("transforms")]
    others = [p for n, p in named if p.ndim <= 1]
    matrices = [p for n, p in named if n.startswith("transforms")]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": others, "weight_decay": decay if decay_norm else 0.0},
        {"params": matrices, "weight_decay": 0.0},
    ]
