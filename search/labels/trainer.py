"""One training of a label or of a winner, by the loop of `evaluator.train`.

A killed training resumes from its last checkpoint, to the same result on a CPU with as many
threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.data.dataset import Dataset, Part
from evaluator.training.recipe import Recipe
from search.labels.store import training_key
from space.common.errors import DivergedError
from space.common.provenance import commit, now_utc, versions
from space.network.network import Network
from space.network.resize import on_input

if TYPE_CHECKING:
    from evaluator.training.batches import Batch
    from evaluator.training.loop import Batches, Epoch, Training

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
        (height, width), classes = self.recipe.size, len(self.data.classes)
        drop, channels = self.recipe.skipped_strides, self.recipe.channels
        return on_input(network, height, width, classes=classes, drop=drop, channels=channels)

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
        from evaluator.training import checkpoint
        from evaluator.training.session import explain_failure, run_to_end

        with explain_failure(self.recipe):
            training = self._start(network, seed, self._batches(self.test, seed))
        parts = f"{self.train.key} {self.test.key}"
        expected = checkpoint.identity(training, self.data.classes, parts)
        path = self.folder / checkpoint.CHECKPOINT
        writer = checkpoint.CheckpointWriter(training, path, expected)
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
            metadata = checkpoint.weights_metadata(training, expected, self.data)
            checkpoint.save_weights(weights_path, training.weights(), metadata)
        outcome = {"purpose": purpose, "diverged": diverged, "pruned": pruned}
        return self._row(training, outcome)

    def forget(self) -> None:
        """Remove the checkpoint, once the row is in the store."""
        from evaluator.training.checkpoint import CHECKPOINT

        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def probe(self, network: Network) -> float:
        """Seconds that a training of this network takes here, from a few timed steps and one batch
        of tests.

        Raises:
            NoAnswerError: out of memory.
        """
        from evaluator.training.batches import TEST_BATCH
        from evaluator.training.session import explain_failure

        with explain_failure(self.recipe):
            training = self._start(network, 0, _FirstBatch(self._batches(self.test, 0)))
            next(training.run(steps=1), None)  # what a first step allocates and compiles
            started, steps = time.perf_counter(), 0
            for _ in training.run(steps=PROBE_STEPS):
                steps += 1
                if time.perf_counter() - started > PROBE_S:
                    break
            step_s = (time.perf_counter() - started) / max(steps, 1)
            started = time.perf_counter()
            training.evaluate()
            image_s = (time.perf_counter() - started) / min(TEST_BATCH, len(self.test))
        return training.total * step_s + self.epochs * image_s * len(self.test)

    def _start(self, network: Network, seed: int, tests: Batches) -> Training:
        from evaluator.training.loop import Training

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
        from evaluator.training.batches import make_batches

        return make_batches(part, self.recipe, seed, device=self.device, workers=self.workers)

    def _row(self, training: Training, outcome: dict[str, Any]) -> dict[str, Any]:
        import torch

        network, curve = training.network, [round(e.test_accuracy, 4) for e in training.history]
        return {
            "key": self.key(network.name, training.seed),
            "architecture": network.name,
            "seed": training.seed,
            "accuracy": 100 / len(self.data.classes) if outcome["diverged"] else curve[-1],
            "curve": curve,
            **outcome,
            "flops_trained": network.flops,
            "params_trained": network.params,
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
    """Batches whose test has the first batch only."""

    def __init__(self, batches: Batches) -> None:
        self.train, self._test = batches.train, batches.test

    def test(self) -> Iterator[Batch]:
        return islice(self._test(), 1)
