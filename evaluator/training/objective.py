"""The loss of a step: what the images of a batch become, and what their logits are compared with.

Label smoothing, mixup, CutMix, random erasing, and knowledge distillation (Hinton et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from evaluator.training.images.mixing import erased, erased_boxes, mix_numbers, mixed, partners
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipes.recipe import Recipe


class Teacher(Protocol):
    """A network to learn from.

    Attributes:
        name: for people.
        share: of its term in the loss, in 0..1.
        temperature: of both networks' logits in its term.
        on_device: whether it runs as ops of torch, which a CUDA graph can hold.
    """

    share: float
    temperature: float
    on_device: bool

    @property
    def name(self) -> str: ...

    def logits(self, x: Tensor) -> Tensor:
        """[n, classes] of images [n, channels, height, width], normalised as the recipe does."""
        ...

    def record(self) -> dict[str, Any]:
        """What identifies it, for the checkpoint of a training."""
        ...


@dataclass(eq=False)
class Objective:
    """The loss of a training's steps.

    Args:
        images: of a batch, over all processes.
    """

    recipe: Recipe
    seed: int
    images: int
    share: ProcessShare = SINGLE_PROCESS
    teacher: Teacher | None = None

    def draws(self, step: int) -> tuple[Tensor, ...]:
        """What `loss` takes at a step, on the CPU; always of the same shapes."""
        recipe, found = self.recipe, []
        if recipe.erase:
            found.append(self.share.of(erased_boxes(recipe, self.seed, step, self.images)))
        if recipe.mixup or recipe.cutmix:
            found.append(mix_numbers(recipe, self.seed, step))
        return tuple(found)

    def loss(
        self, forward: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor, *draws: Tensor
    ) -> Tensor:
        """The mean loss of a batch, a scalar. `draws`: of the step, on the device of `x`."""
        remaining = list(draws)
        if self.recipe.erase:
            x = erased(x, remaining.pop(0))
        numbers = remaining.pop(0) if remaining else None
        if numbers is not None:
            x = mixed(x, numbers)
        logits = forward(x)
        loss = self._cross_entropy(logits, labels)
        if numbers is not None:
            weight = numbers[1].to(loss.dtype)
            loss = weight * loss + (1 - weight) * self._cross_entropy(logits, partners(labels))
        if self.teacher is not None:
            share = self.teacher.share
            loss = (1 - share) * loss + share * self._distance(logits, self.teacher, x)
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)

    def _distance(self, logits: Tensor, teacher: Teacher, x: Tensor) -> Tensor:
        with torch.no_grad():
            known = teacher.logits(x)
        return distillation(logits, known, teacher.temperature)


def distillation(logits: Tensor, known: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of the softened classes, the mean over a batch (Hinton et al.
    2015, section 2). `logits`, `known` (the teacher's): [n, classes]."""
    softened, target = (
        functional.log_softmax(each.float() / temperature, 1) for each in (logits, known)
    )
    divergence = functional.kl_div(softened, target, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
