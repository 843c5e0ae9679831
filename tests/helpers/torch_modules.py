"""Torch modules and inputs that several test files compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomise_norms(module: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in (
                (part.running_mean, -0.2, 0.2),
                (part.running_var, 0.5, 1.5),
                (part.weight, 0.5, 1.5),
                (part.bias, -0.2, 0.2),
            ):
                assert tensor is not None
                tensor.data.uniform_(low, high, generator=generator)
    return module.eval()


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_network(seed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """Convolutions, batch norms, activations, dropout and a classifier of 5; takes 3 channels."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        activation(),
        nn.Conv2d(12, 10, 3, stride=2, bias=False),
        nn.BatchNorm2d(10),
        activation(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 5),
    )
