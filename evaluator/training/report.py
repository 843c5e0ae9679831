"""The start, an epoch and the result of a training as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluator.data.dataset import Dataset
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import Recipe
from space.network.network import Network
from space.network.resize import total_stride


def format_start(data: Dataset, images: int, network: Network, recipe: Recipe, device: str) -> str:
    """The lines before a training: data, network, recipe, and what else the recipe has."""
    _, height, width = network.input_shape
    parts = f"\nwith {', '.join(recipe.parts)}" if recipe.parts else ""
    if recipe.trivial and device != "cpu":
        parts += "; TrivialAugment runs on the processor, so no images are kept on the GPU"
    return (
        f"{data.name}: {images} images to train on, {len(data.test)} to test on, "
        f"{len(data.classes)} classes; split: {data.split}\n"
        f"{network.name}: input {height}x{width}, total stride {total_stride(network)}, "
        f"{network.flops / 1e6:.2f}M FLOPs, {network.params / 1e6:.3f}M parameters\n"
        f"recipe {recipe.name}: {recipe.total_steps(images)} steps of "
        f"{min(recipe.batch, images)} images, learning rate {recipe.lr:g}, on {device}{parts}"
    )


def format_epoch(training: Training) -> str:
    """The line of the last epoch."""
    entry, epochs = training.history[-1], -(-training.total // training.epoch_steps)
    best = max(each.test_accuracy for each in training.history)
    return (
        f"epoch {entry.epoch} of {epochs}: loss {entry.train_loss:.4f}, test loss "
        f"{entry.test_loss:.4f}, accuracy {entry.test_accuracy:.2f} % (best {best:.2f} %), "
        f"{entry.seconds:.0f} s"
    )


def format_result(result: Mapping[str, Any]) -> str:
    """The result of `train_network`, a line a fact."""
    size = "x".join(map(str, result["input"][1:]))
    lines = [
        ("network", result["architecture"]),
        ("input", f"{size}, total stride {result['total_stride']}"),
        ("FLOPs", f"{result['flops'] / 1e6:.2f}M"),
        ("parameters", f"{result['params'] / 1e6:.3f}M"),
        ("accuracy, last epoch", f"{result['last_accuracy']:.2f} %"),
        ("accuracy, best epoch", f"{result['best_accuracy']:.2f} % (chosen on the same images)"),
        ("seconds", f"{result['seconds']:.0f}"),
        ("files", ", ".join(result["files"])),
    ]
    return "\n".join(f"{name:20}  {value}" for name, value in lines)
