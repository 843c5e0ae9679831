"""Torch inputs that several test files share."""

from __future__ import annotations

import torch


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
