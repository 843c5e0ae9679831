"""The loss of a step by hand: mixed labels, distillation, and what processes share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from evaluator.training.images.mixing import erased, erased_boxes, mix_numbers, mixed
from evaluator.training.objective import Objective, distillation
from evaluator.training.process import ProcessShare
from evaluator.training.recipes.recipe import MODERN_SMALL, SHORT

X = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
WEIGHT = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def forward(x: Tensor) -> Tensor:
    """Logits [n, 4]."""
    return x.mean((2, 3)) @ WEIGHT * 5


@dataclass
class Fixed:
    """A teacher whose logits are the features of the images, and which notes what it sees."""

    share: float = 0.3
    temperature: float = 2.0
    on_device: bool = True
    seen: Tensor | None = None

    def logits(self, x: Tensor) -> Tensor:
        self.seen = x
        return (x.amax((2, 3)) @ WEIGHT).requires_grad_()


def test_the_loss_of_old_recipes_is_cross_entropy() -> None:
    objective = Objective(SHORT.changed(label_smoothing=0.1), 0, 6)
    assert objective.draws(3) == ()
    expected = functional.cross_entropy(forward(X), LABELS, label_smoothing=0.1)
    assert torch.equal(objective.loss(forward, X, LABELS), expected)


def test_a_mixed_batch_has_soft_labels() -> None:
    """Erased, then mixed; cross-entropy with the mixed distribution of classes, smoothed."""
    recipe = MODERN_SMALL.changed(input=16, erase=0.7)
    objective = Objective(recipe, 4, 6)
    for step in range(6):
        x = erased(X, erased_boxes(recipe, 4, step, 6))
        numbers = mix_numbers(recipe, 4, step)
        kept, hot = numbers[1].float(), functional.one_hot(LABELS, 4).float()
        soft = kept * hot + (1 - kept) * hot.roll(1, 0)
        log = functional.log_softmax(forward(mixed(x, numbers)), 1)
        expected = -((0.9 * soft + 0.1 / 4) * log).sum(1).mean()
        found = objective.loss(forward, X, LABELS, *objective.draws(step))
        torch.testing.assert_close(found, expected)


def test_distillation_by_hand() -> None:
    """Sum over classes of p (log p - log q), times T^2, in plain numbers."""
    ours, known, temperature = [[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], [[2.0, 0.0, 0.0]] * 2, 4.0
    total = 0.0
    for row, teacher in zip(ours, known, strict=True):
        q, p = (
            [
                math.exp(v / temperature) / sum(math.exp(w / temperature) for w in each)
                for v in each
            ]
            for each in (row, teacher)
        )
        total += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
    found = distillation(torch.tensor(ours), torch.tensor(known), temperature)
    assert float(found) == pytest.approx(temperature**2 * total / 2, rel=1e-5)
    assert float(distillation(torch.tensor(known), torch.tensor(known), 4.0)) == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_teacher_sees_the_images_of_the_student(share: float) -> None:
    recipe, teacher = MODERN_SMALL.changed(input=16, erase=0.7), Fixed(share)
    plain = Objective(recipe, 4, 6)
    taught = Objective(recipe, 4, 6, teacher=teacher)
    seen: list[Tensor] = []

    def noted(x: Tensor) -> Tensor:
        seen.append(x)
        return forward(x).requires_grad_()

    draws = plain.draws(2)
    found = taught.loss(noted, X, LABELS, *draws)
    assert teacher.seen is not None and torch.equal(teacher.seen, seen[0])
    known = teacher.logits(seen[0]).detach()
    log = functional.log_softmax(forward(seen[0]) / 2, 1)
    # torch's own divergence, with probabilities
    divergence = functional.kl_div(log, (known / 2).softmax(1), reduction="sum") / 6
    hard = plain.loss(forward, X, LABELS, *draws)
    torch.testing.assert_close(found, (1 - share) * hard + share * 4 * divergence)


def test_processes_share_what_is_erased() -> None:
    recipe = MODERN_SMALL.changed(input=16, erase=0.7)
    whole, mix = Objective(recipe, 1, 6).draws(5)
    parts = [Objective(recipe, 1, 6, ProcessShare(rank, 2)).draws(5) for rank in range(2)]
    assert torch.equal(torch.cat([boxes for boxes, _ in parts]), whole)
    assert all(torch.equal(numbers, mix) for _, numbers in parts)
