"""What a person sees of a training: a bar on a terminal, lines otherwise; all on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evaluator.data.dataset import Dataset
from evaluator.training.loop import Training
from evaluator.training.recipe import Recipe
from space.common.cli import log
from space.network.network import Network
from space.network.resize import total_stride


class TrainingReporter:
    """Talks about one training; `quiet` says nothing, as all processes but the first should."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def say(self, message: str) -> None:
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, soft_wrap=True)
        else:
            log(message)

    def start(
        self, data: Dataset, images: int, network: Network, recipe: Recipe, device: str
    ) -> None:
        _, height, width = network.input_shape
        self.say(
            f"{data.name}: {images} images to train on, {len(data.test)} to test on, "
            f"{len(data.classes)} classes; split: {data.split}"
        )
        self.say(
            f"{network.name}: input {height}x{width}, total stride {total_stride(network)}, "
            f"{network.flops / 1e6:.2f}M FLOPs, {network.params / 1e6:.3f}M parameters"
        )
        steps = recipe.total_steps(images)
        self.say(
            f"recipe {recipe.name}: {steps} steps of {min(recipe.batch, images)} images, learning "
            f"rate {recipe.lr:g}, on {device}"
        )

    @contextmanager
    def decoding(self, images: int) -> Iterator[Callable[[int], object]]:
        """A bar for the images that are decoded into the cache."""
        with self._progress("decoding", images) as (bar, task):
            yield lambda done: bar.update(task, completed=done)

    @contextmanager
    def progress(self, training: Training) -> Iterator[None]:
        """A bar over the steps of a training, while the block runs."""
        with self._progress("training", training.total, training.step) as (bar, task):
            self._bar, self._task = (bar, task) if bar.live.is_started else (None, None)
            try:
                yield
            finally:
                self._bar = self._task = None

    def step(self, training: Training) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=training.step)

    def epoch(self, training: Training) -> None:
        """The line of an epoch."""
        entry = training.history[-1]
        epochs = -(-training.total // training.epoch_steps)
        best = max(e.test_accuracy for e in training.history)
        self.say(
            f"epoch {entry.epoch} of {epochs}: loss {entry.train_loss:.4f}, test loss "
            f"{entry.test_loss:.4f}, accuracy {entry.test_accuracy:.2f} % (best {best:.2f} %), "
            f"{entry.seconds:.0f} s"
        )

    @contextmanager
    def _progress(self, what: str, total: int, done: int = 0) -> Iterator[tuple[Any, Any]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        console = Console(stderr=True)
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), Remaining())
        hidden = self.quiet or not console.is_terminal
        with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
            yield bar, bar.add_task(what, total=total, completed=done)
