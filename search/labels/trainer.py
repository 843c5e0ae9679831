"""One training of a label or of a winner, with the functions of `evaluator.train`.

Killed, it goes on from its last checkpoint, to the same result on a CPU with as many threads.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.data.dataset import Dataset, Part
from evaluator.training.recipe import Recipe
from search.labels.store import key
from space.common.errors import InfeasibleError
from space.common.provenance import commit, versions
from space.network.network import Network
from space.network.resize import on_input

if TYPE_CHECKING:
    from evaluator.training.loop import Batches, Epoch, Training

SAVE_S = 60.0
PROBE_STEPS, PROBE_S = 4, 3.0
# After each epoch: (epoch, accuracy in %) -> whether to stop here.
Judge = Callable[[int, float], bool]


@dataclass(eq=False)
class LabelTrainer:
    """What trainings share that are compared with each other. `folder` is for the checkpoint."""

    data: Dataset
    train: Part
    test: Part
    recipe: Recipe
    device: str
    workers: int
    folder: Path
    _pixels: dict[str, Any] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How often a training is tested."""
        images = len(self.train)
        return -(-self.recipe.total_steps(images) // self.recipe.steps_per_epoch(images))

    def key(self, architecture: str, seed: int) -> str:
        parts = (self.train.key, self.test.key)
        return key(architecture, self.recipe.record(), seed, parts, self.data.classes)

    def network(self, whole: Network) -> Network:
        """The network on this input and these classes."""
        side, classes = self.recipe.input, len(self.data.classes)
        return on_input(whole, side, side, classes=classes, drop=self.recipe.drop)

    def start(self, whole: Network, seed: int, tests: Batches | None = None) -> Training:
        """A training that has not begun."""
        from evaluator.training.loop import Training

        return Training(
            self.network(whole),
            self.recipe,
            len(self.train),
            self._batches(self.train, seed),
            tests or self._batches(self.test, seed),
            seed=seed,
            device=self.device,
        )

    def _batches(self, part: Part, seed: int) -> Batches:
        import torch

        from evaluator.data.cache import decoded
        from evaluator.training.batches import ArrayBatches, DecodedBatches
        from evaluator.training.loader import decodes_once

        recipe = self.recipe
        if decodes_once(part, recipe):
            if part.key not in self._pixels:
                pixels = decoded(part, recipe.input, workers=self.workers)
                self._pixels[part.key] = pixels, torch.from_numpy(part.labels.copy())
            pixels, numbers = self._pixels[part.key]
            return ArrayBatches(pixels, numbers, recipe, seed, device=self.device)
        return DecodedBatches(part, recipe, seed, device=self.device, workers=self.workers)

    def run(
        self,
        whole: Network,
        seed: int,
        *,
        purpose: str,
        judge: Judge | None = None,
        progress: Callable[[float], object] | None = None,
        keep: Path | None = None,
    ) -> dict[str, Any]:
        """Train, or go on from the checkpoint; the row to be kept.

        `progress` is told which share is done. `keep`: a .safetensors for the last weights. A
        training that diverges is a result too: the accuracy of guessing.

        Raises:
            InfeasibleError: out of memory.
            ValueError: an image is damaged.
        """
        from evaluator.training import checkpoint as files
        from space.common.errors import DivergedError

        mine = files.identity(
            whole.name,
            self.recipe,
            seed=seed,
            classes=self.data.classes,
            data=f"{self.train.key} {self.test.key}",
            amp=False,
        )
        path = self.folder / files.CHECKPOINT
        row: dict[str, Any] = {"diverged": False, "pruned": False}
        with explained(self.recipe, self.device):
            training = self.start(whole, seed)
            _resume(path, training, mine)
            saved = time.monotonic()
            try:
                row["pruned"] = any(_stops(judge, training, entry) for entry in training.history)
                for _ in () if row["pruned"] else training.run():
                    if progress is not None:
                        progress(training.step / training.total)
                    ended = training.epoch_ended
                    if ended and _stops(judge, training, training.history[-1]):
                        row["pruned"] = True
                        break
                    if ended or time.monotonic() - saved >= SAVE_S:
                        if not training.finite():
                            raise DivergedError("a weight is no number")
                        files.save_checkpoint(path, training, mine)
                        saved = time.monotonic()
            except DivergedError:
                row["diverged"] = True
            except KeyboardInterrupt:
                if training.step and training.finite():
                    files.save_checkpoint(path, training, mine)
                raise
        if keep is not None and training.history and not row["diverged"]:
            last = training.history[-1]
            about = files.weights_metadata(
                training, mine, last, data=self.data.name, split=self.data.split
            )
            files.save_weights(keep, training.weights(), about)
        return self._row(training, whole, seed, {"purpose": purpose, **row})

    def forget(self) -> None:
        """Remove the checkpoint, once what it led to is kept."""
        from evaluator.training.checkpoint import CHECKPOINT

        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def _row(
        self, training: Training, whole: Network, seed: int, more: dict[str, Any]
    ) -> dict[str, Any]:
        import torch

        curve = [round(entry.test_accuracy, 4) for entry in training.history]
        return {
            "key": self.key(whole.name, seed),
            "architecture": whole.name,
            "seed": seed,
            "accuracy": 100 / len(self.data.classes) if more["diverged"] else curve[-1],
            "curve": curve,
            **more,
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
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def probe(self, whole: Network) -> float:
        """Seconds that a whole training of this network takes here, from a few timed steps and one
        batch of tests."""
        with explained(self.recipe, self.device):
            first = _First(self._batches(self.test, 0))
            training = self.start(whole, 0, first)
            next(training.run(steps=1), None)  # what a first step allocates and compiles
            started, steps = time.perf_counter(), 0
            for _ in training.run(steps=PROBE_STEPS):
                steps += 1
                if time.perf_counter() - started > PROBE_S:
                    break
            each = (time.perf_counter() - started) / max(steps, 1)
            started = time.perf_counter()
            training.evaluate()
            tested = (time.perf_counter() - started) / first.images
        return training.total * each + self.epochs * tested * len(self.test)


class _First:
    """The first batch of the tests alone."""

    def __init__(self, whole: Batches) -> None:
        self.train, self._whole, self.images = whole.train, whole, 1

    def test(self) -> Any:
        for x, labels in self._whole.test():
            self.images = len(labels)
            yield x, labels
            return


def _resume(path: Path, training: Training, mine: dict[str, Any]) -> None:
    from evaluator.training import checkpoint as files

    if not path.exists():
        return
    try:
        files.load_checkpoint(path, training, mine)
    except ValueError:  # of a training before this one, or torn: nothing that is needed
        path.unlink()


def _stops(judge: Judge | None, training: Training, entry: Epoch) -> bool:
    """Whether the judge stops a training after an epoch; the last one is no matter for a judge."""
    if judge is None or entry.step >= training.total:
        return False
    return judge(entry.epoch, entry.test_accuracy)


@contextmanager
def explained(recipe: Recipe, device: str) -> Iterator[None]:
    """Out of memory in one line with what to do, in place of a traceback."""
    from evaluator.training.session import out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise InfeasibleError(
            f"out of memory on {device} with --batch {recipe.batch} at --input {recipe.input}: "
            "lower --batch, then --input. What was trained before is kept"
        ) from None
