"""One training of a label or of a winner, by the loop of `evaluator.train`.

A killed training resumes from its last checkpoint, to the same result on a CPU with as many
threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evaluator.data.dataset import Dataset, Part
from evaluator.training.batches import Batch
from evaluator.training.checkpoint import CHECKPOINT, identity, save_weights, weights_metadata
from evaluator.training.loader import make_batches
from evaluator.training.loop import Batches, Epoch, Training
from evaluator.training.recipe import Recipe
from evaluator.training.session import CheckpointWriter, explain_failure, run_to_end
from search.labels.store import training_key
from space.common.errors import DivergedError
from space.common.provenance import commit, now_utc, versions
from space.network.network import Network
from space.network.resize import on_input

PROBE_STEPS, PROBE_S = 4, 3.0
# (epoch, accuracy in %) after each epoch -> whether to stop the training.
Judge = Callable[[int, float], bool]


@dataclass(eq=False)
class LabelTrainer:
    """Trains networks alike. `folder` holds the checkpoint of the training in progress."""

    data: Dataset
    train: Part
    test: Part
    recipe: Recipe
    device: str
    workers: int
    folder: Path

    @property
    def epochs(self) -> int:
        """How often a training is tested."""
        images = len(self.train)
        return -(-self.recipe.total_steps(images) // self.recipe.steps_per_epoch(images))

    def key(self, architecture: str, seed: int) -> str:
        """The key of a training in the store."""
        parts = (self.train.key, self.test.key)
        return training_key(architecture, self.recipe.record(), seed, parts, self.data.classes)

    def network(self, network: Network) -> Network:
        """The network on this input and these classes."""
        side, classes = self.recipe.input, len(self.data.classes)
        return on_input(network, side, side, classes=classes, drop=self.recipe.skipped_strides)

    def run(
        self,
        network: Network,
        seed: int,
        *,
        purpose: str,
        judge: Judge | None = None,
        progress: Callable[[float], object] | None = None,
        weights_path: Path | None = None,
    ) -> dict[str, Any]:
        """Train, or resume from the checkpoint.

        Args:
            network: at its published input.
            purpose: for the row.
            judge: stops the training after an epoch, if its answer is true.
            progress: called with the finished share after each step.
            weights_path: a .safetensors for the last weights.

        Returns:
            The row for the store. If the training diverged, its accuracy is that of guessing.

        Raises:
            NoAnswerError: out of memory.
            DataError: an image is damaged.
        """
        expected = identity(
            network.name,
            self.recipe,
            seed=seed,
            classes=self.data.classes,
            data=f"{self.train.key} {self.test.key}",
            amp=False,
        )
        with explain_failure(self.recipe):
            training = self._start(network, seed, self._batches(self.test, seed))
        writer = CheckpointWriter(training, self.folder / CHECKPOINT, expected)
        writer.resume(replace=True)

        def stops(entry: Epoch) -> bool:
            """Whether the judge stops the training; nobody asks it after the last epoch."""
            if judge is None or entry.step >= training.total:
                return False
            return judge(entry.epoch, entry.test_accuracy)

        def after_step() -> None:
            if progress is not None:
                progress(training.step / training.total)

        pruned = diverged = False
        try:
            pruned = any(stops(entry) for entry in training.history) or run_to_end(
                training, writer, after_step=after_step, after_epoch=stops
            )
        except DivergedError:
            diverged = True
        if weights_path is not None and training.history and not diverged:
            metadata = weights_metadata(training, expected, self.data)
            save_weights(weights_path, training.weights(), metadata)
        outcome = {"purpose": purpose, "diverged": diverged, "pruned": pruned}
        return self._row(training, network, seed, outcome)

    def forget(self) -> None:
        """Remove the checkpoint, once the row is in the store."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def probe(self, network: Network) -> float:
        """Seconds that a training of this network takes here, from a few timed steps and one batch
        of tests.

        Raises:
            NoAnswerError: out of memory.
        """
        with explain_failure(self.recipe):
            first = _FirstBatch(self._batches(self.test, 0))
            training = self._start(network, 0, first)
            next(training.run(steps=1), None)  # what a first step allocates and compiles
            started, steps = time.perf_counter(), 0
            for _ in training.run(steps=PROBE_STEPS):
                steps += 1
                if time.perf_counter() - started > PROBE_S:
                    break
            step_s = (time.perf_counter() - started) / max(steps, 1)
            started = time.perf_counter()
            training.evaluate()
            image_s = (time.perf_counter() - started) / first.images
        return training.total * step_s + self.epochs * image_s * len(self.test)

    def _start(self, network: Network, seed: int, tests: Batches) -> Training:
        return Training(
            self.network(network),
            self.recipe,
            len(self.train),
            self._batches(self.train, seed),
            tests,
            seed=seed,
            device=self.device,
        )

    def _batches(self, part: Part, seed: int) -> Batches:
        return make_batches(part, self.recipe, seed, device=self.device, workers=self.workers)

    def _row(
        self, training: Training, network: Network, seed: int, outcome: dict[str, Any]
    ) -> dict[str, Any]:
        curve = [round(entry.test_accuracy, 4) for entry in training.history]
        return {
            "key": self.key(network.name, seed),
            "architecture": network.name,
            "seed": seed,
            "accuracy": 100 / len(self.data.classes) if outcome["diverged"] else curve[-1],
            "curve": curve,
            **outcome,
            "flops_trained": training.network.flops,
            "params_trained": training.network.params,
            "seconds": round(training.seconds, 2),
            "recipe": self.recipe.record(),
            "images": [len(self.train), len(self.test)],
            "data": self.data.name,
            "split": self.data.split,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "versions": versions("torch", "torchvision", "numpy", "pillow"),
            "commit": commit(),
            "date": now_utc(),
        }


class _FirstBatch:
    """Batches whose test has the first batch only; `images`: how many that has."""

    def __init__(self, batches: Batches) -> None:
        self.train, self._batches, self.images = batches.train, batches, 1

    def test(self) -> Iterator[Batch]:
        for x, labels in self._batches.test():
            self.images = len(labels)
            yield x, labels
            return
