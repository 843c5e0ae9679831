"""What a person sees of a training, on stderr: a bar on a terminal, and a line an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evaluator.data.dataset import Dataset
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from space.common.progress import Progress
from space.network.network import Network
from space.network.resize import total_stride


def format_start(
    data: Dataset, images: int, network: Network, recipe: Recipe, device: str
) -> list[str]:
    """Lines that describe a training before it begins: data, network and recipe."""
    _, height, width = network.input_shape
    return [
        f"{data.name}: {images} images to train on, {len(data.test)} to test on, "
        f"{len(data.classes)} classes; split: {data.split}",
        f"{network.name}: input {height}x{width}, total stride {total_stride(network)}, "
        f"{network.flops / 1e6:.2f}M FLOPs, {network.params / 1e6:.3f}M parameters",
        f"recipe {recipe.name}: {recipe.total_steps(images)} steps of "
        f"{min(recipe.batch, images)} images, learning rate {recipe.lr:g}, on {device}",
    ]


class TrainingReporter:
    """Reports one training; `quiet` prints nothing, as all processes but the first should."""

    def __init__(self, training: Training, *, quiet: bool = False) -> None:
        self.training = training
        self._bar = Progress("training", training.total, quiet=quiet)

    def log(self, message: str) -> None:
        """Print a line, above the bar."""
        self._bar.log(message)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """A bar over the steps while the block runs."""
        self._bar.done = self.training.step
        with self._bar:
            yield

    def step(self) -> None:
        """Move the bar."""
        self._bar.update(self.training.step)

    def epoch(self, entry: Epoch) -> None:
        """The line of an epoch."""
        training = self.training
        epochs = -(-training.total // training.epoch_steps)
        best = max(each.test_accuracy for each in training.history)
        self.log(
            f"epoch {entry.epoch} of {epochs}: loss {entry.train_loss:.4f}, test loss "
            f"{entry.test_loss:.4f}, accuracy {entry.test_accuracy:.2f} % (best {best:.2f} %), "
            f"{entry.seconds:.0f} s"
        )


def format_result(result: Mapping[str, Any]) -> str:
    """The result of a finished training as lines of text."""
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
