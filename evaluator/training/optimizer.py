"""The optimizer of a recipe."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evaluator.training.recipes.recipe import Recipe


def make_optimizer(module: nn.Module, recipe: Recipe, *, fused: bool = False) -> torch.optim.SGD:
    """SGD with the recipe's momentum and weight decay, of batch norms and biases only if the
    recipe says so.

    Args:
        fused: one kernel for all parameters, which reads its learning rate on the device.
    """
    decay = recipe.weight_decay
    others = decay if recipe.decay_norm else 0.0  # of batch norms and biases
    parameters = list(module.parameters())
    return torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": others},
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=fused or None,
    )


def momenta(optimizer: torch.optim.SGD) -> list[Tensor]:
    """The velocity of each parameter, 0 before a first step: that makes the same step as none."""
    found = []
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            state.setdefault("momentum_buffer", torch.zeros_like(parameter))
            found.append(state["momentum_buffer"])
    return found
