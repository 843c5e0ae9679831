"""Trainings of labels and of winners, by the loop of `evaluator.train`.

A killed training resumes from its last checkpoint, to the same result on a CPU with as many
threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.data.dataset import Dataset, Part
from evaluator.training.recipes.recipe import Recipe
from search.labels.store import training_key
from space.common.errors import DivergedError
from space.common.provenance import commit, now_utc, versions
from space.network.network import Network
from space.network.resize import on_input

if TYPE_CHECKING:
    from evaluator.training.epoch import Batches, Epoch
    from evaluator.training.images.batches import Batch
    from evaluator.training.images.resident import ResidentImages
    from evaluator.training.loop import Training
    from evaluator.training.session import TrainingSession

PROBE_STEPS, PROBE_S = 4, 3.0
# (epoch, accuracy in %) after each epoch -> whether to stop the training.
Judge = Callable[[int, float], bool]


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """One training. `network`: at its published input; `purpose`: for the row; `judge`: stops the
    training after an epoch, if its answer is true; `weights_path`: a .safetensors for the last
    weights."""

    network: Network
    seed: int
    purpose: str
    judge: Judge | None = None
    weights_path: Path | None = None


@dataclass(eq=False)
class LabelTrainer:
    """Trains networks alike. `folder` holds the checkpoints of the trainings in progress."""

    data: Dataset
    train: Part
    test: Part
    recipe: Recipe
    device: str
    workers: int
    folder: Path
    _resident: dict[str, ResidentImages | None] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How often a training is tested."""
        return -(-self.steps // self.recipe.steps_per_epoch(len(self.train)))

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return self.recipe.total_steps(len(self.train))

    def key(self, architecture: str, seed: int) -> str:
        """The key of a training in the store."""
        parts = (self.train.key, self.test.key)
        return training_key(architecture, self.recipe.record(), seed, parts, self.data.classes)

    def network(self, network: Network) -> Network:
        """The network on this input and these classes."""
        (height, width), classes = self.recipe.size, len(self.data.classes)
        drop, channels = self.recipe.skipped_strides, self.recipe.channels
        return on_input(network, height, width, classes=classes, drop=drop, channels=channels)

    @property
    def several(self) -> bool:
        """Whether several trainings go on at once: on a GPU that holds the images."""
        return self.device != "cpu" and all(map(self._images, (self.train, self.test)))

    def run(
        self, job: TrainingJob, progress: Callable[[float], object] = lambda share: None
    ) -> dict[str, Any]:
        """Train, or resume from the checkpoint.

        Args:
            progress: called with the finished share after each step.

        Returns:
            The row for the store. If the training diverged, its accuracy is that of guessing.

        Raises:
            NoAnswerError: out of memory.
            DataError: an image is damaged.
        """
        from evaluator.training.session import run_to_end

        session = self.open(job)
        training, diverged = session.training, False
        try:
            run_to_end(session, lambda: progress(training.step / training.total))
        except DivergedError:
            diverged = True
        return self.row(job, session, diverged=diverged)

    def open(self, job: TrainingJob, *, at_once: bool = False) -> TrainingSession:
        """A training at its start, or where its checkpoint is.

        Args:
            at_once: whether others go on at the same time; it has a checkpoint of its own then.

        Raises:
            NoAnswerError: out of memory.
        """
        from evaluator.training.session import TrainingSession, explain_failure
        from evaluator.training.weights import checkpoint

        with explain_failure(self.recipe):
            training = self._start(job.network, job.seed, self._batches(self.test, job.seed))
        path = self._checkpoint(training.network.name, job.seed, at_once=at_once)
        identity = self._identity(training)
        # A step of a GPU is short, and its epoch too.
        writer = checkpoint.CheckpointWriter(training, path, identity, each_epoch=not at_once)
        writer.resume(replace=True)

        def stops(entry: Epoch) -> bool:
            """Whether the judge stops the training; nobody asks it after the last epoch."""
            if job.judge is None or entry.step >= training.total:
                return False
            return job.judge(entry.epoch, entry.test_accuracy)

        stopped = any(stops(entry) for entry in training.history)
        return TrainingSession(training, writer, stops, stopped=stopped)

    def row(
        self, job: TrainingJob, session: TrainingSession, *, diverged: bool, at_once: int = 1
    ) -> dict[str, Any]:
        """The row of a training that has ended; its weights are written, if the job says so.

        Args:
            at_once: how many trainings began together with it.
        """
        from evaluator.training.weights import checkpoint

        training = session.training
        if job.weights_path is not None and training.history and not diverged:
            identity = self._identity(training)
            metadata = checkpoint.weights_metadata(training, identity, self.data)
            checkpoint.save_weights(job.weights_path, training.weights(), metadata)
        outcome = {"purpose": job.purpose, "diverged": diverged, "pruned": session.stopped}
        return self._row(training, outcome | ({"at_once": at_once} if at_once > 1 else {}))

    def forget(self, architecture: str, seed: int) -> None:
        """Remove the checkpoints of a training, once its row is in the store."""
        for at_once in (False, True):
            self._checkpoint(architecture, seed, at_once=at_once).unlink(missing_ok=True)

    def _checkpoint(self, architecture: str, seed: int, *, at_once: bool) -> Path:
        from evaluator.training.weights.checkpoint import CHECKPOINT

        own = f"{self.key(architecture, seed)}-" if at_once else ""
        return self.folder / f"{own}{CHECKPOINT}"

    def _identity(self, training: Training) -> dict[str, Any]:
        from evaluator.training.weights.checkpoint import identity

        parts = f"{self.train.key} {self.test.key}"
        return identity(training, self.data.classes, parts)

    def probe(self, network: Network) -> float:
        """Seconds that a training of this network takes here, from a few timed steps and one batch
        of tests.

        Raises:
            NoAnswerError: out of memory.
        """
        from evaluator.training.images.batches import TEST_BATCH
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
        from evaluator.training.images.open_batches import make_batches
        from evaluator.training.images.resident import ResidentBatches

        images = self._images(part)
        if images is not None:
            return ResidentBatches(images, self.recipe, seed)
        return make_batches(part, self.recipe, seed, device=self.device, workers=self.workers)

    def _images(self, part: Part) -> ResidentImages | None:
        """The images of a part on the GPU, for all trainings; None if they are not kept there."""
        from evaluator.training.images.open_batches import resident_images

        if part.key not in self._resident:
            self._resident[part.key] = resident_images(
                part, self.recipe, device=self.device, workers=self.workers
            )
        return self._resident[part.key]

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
