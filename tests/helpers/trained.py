"""A file of trained weights as `evaluator.train` writes it, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from evaluator.training.recipes.recipe import SHORT
from evaluator.training.source import read_network
from space.network.resize import on_input
from space.network.torch_module import NetworkModule, build_module
from tests.helpers.images import TINY

CLASSES = ("cat", "dog $a^$", "caf\u00e9")


def trained_module(side: int = 32, seed: int = 5) -> NetworkModule:
    """The tiny network for three classes, with statistics of batch norms that are not 0 and 1."""
    network = on_input(read_network(TINY), side, side, classes=len(CLASSES))
    module = build_module(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator) / 10)
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module


def trained_metadata(module: NetworkModule) -> dict[str, Any]:
    """What the file says of itself."""
    return {
        "architecture": module.network.name,
        "recipe": SHORT.record(),
        "seed": 3,
        "classes": list(CLASSES),
        "data": "pets",
        "input": list(module.network.input_shape),
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "epoch": 10,
        "test_accuracy": 87.5,
        "test_loss": 0.5,
    }


def write_trained(path: Path, metadata: dict[str, Any] | None = None) -> NetworkModule:
    """Write the file; returns the module whose weights it has."""
    module = trained_module()
    text = json.dumps(metadata or trained_metadata(module))
    save_file(module.state_dict(), path, {"g4nas": text})
    return module
