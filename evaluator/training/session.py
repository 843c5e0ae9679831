"""What a training keeps however it ends: its files, and one line that says what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from evaluator.data.dataset import Dataset
from evaluator.training import checkpoint as files
from evaluator.training.loop import Training
from evaluator.training.recipe import Recipe
from space.common.errors import DataError, DivergedError, NoAnswerError

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


class CheckpointWriter:
    """Writes what an epoch leaves, and the checkpoint when it is time; the first process alone."""

    def __init__(
        self, training: Training, mine: dict[str, Any], path: Path, data: Dataset
    ) -> None:
        self.training, self.mine, self.path, self.data = training, mine, path, data
        self.saved = time.monotonic()

    def checkpoint(self) -> None:
        """Replace the checkpoint.

        Raises:
            DivergedError: a weight is no number; the last good checkpoint stays.
        """
        self._check()
        files.save_checkpoint(self.path, self.training, self.mine)
        self.saved = time.monotonic()

    def keep(self, every_s: float) -> None:
        """Called after each step; writes after an epoch, and every `every_s` seconds."""
        training = self.training
        if training.share.rank:
            return
        if training.epoch_ended:
            # The checkpoint last: killed in between, the epoch ends again, to the same files.
            self._check()
            self._epoch()
            self.checkpoint()
        elif time.monotonic() - self.saved >= every_s:
            self.checkpoint()

    def _check(self) -> None:
        if not self.training.finite():
            step = self.training.step
            raise DivergedError(f"a weight is no number after step {step}: lower --lr")

    def _epoch(self) -> None:
        training, folder = self.training, self.path.parent
        entry = training.history[-1]
        told = files.weights_metadata(
            training, self.mine, entry, data=self.data.name, split=self.data.split
        )
        files.save_weights(folder / files.LAST, training.weights(), told)
        best = max(training.history, key=lambda e: (e.test_accuracy, -e.step))
        if best is entry:
            files.save_weights(folder / files.BEST, training.best, told)
        files.write_log(folder / files.LOG, training.history)


def out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether an error says that memory ran out, of the machine or of a GPU."""
    told = any(word in str(error).lower() for word in NO_MEMORY)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or told


@contextmanager
def explain_failure(recipe: Recipe, keeper: CheckpointWriter) -> Iterator[None]:
    """Errors in the middle of a training, with what is kept and what to do."""
    try:
        yield
    except DivergedError as error:
        told = f"{error} (now {recipe.lr:g}) and give --fresh. {_kept(keeper.path)}"
        raise NoAnswerError(told) from None
    except (DataError, KeyboardInterrupt):
        training = keeper.training
        if not training.share.rank and training.step and training.finite():
            keeper.checkpoint()
        raise
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if out_of_memory(error):
            raise NoAnswerError(
                f"out of memory with --batch {recipe.batch} at --input {recipe.input}: lower "
                f"--batch, then --input. {_kept(keeper.path)}"
            ) from None
        if "DataLoader worker" in text:
            raise NoAnswerError(
                f"a decoding process died ({text.splitlines()[0]}): lower --workers, 0 for none. "
                f"{_kept(keeper.path)}"
            ) from None
        raise


def _kept(path: Path) -> str:
    return f"What was done before is in {path}" if path.exists() else "Nothing was written yet"
