"""The one loop from the first step to the last: checkpoints, and one line for what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from evaluator.training.checkpoint import load_checkpoint, save_checkpoint
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from space.common.errors import DataError, DivergedError, NoAnswerError

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
ADVICE = "lower --batch, then --input"
SAVE_S = 60.0


class CheckpointWriter:
    """Reads and writes the checkpoint of one training; of several processes, the first writes.

    Args:
        path: of the checkpoint.
        identity: what makes the training the same one, of `checkpoint.identity`.
        every_s: seconds from one checkpoint to the next within an epoch.
    """

    def __init__(
        self,
        training: Training,
        path: Path,
        identity: Mapping[str, Any],
        *,
        every_s: float = SAVE_S,
    ) -> None:
        self.training, self.path, self.identity = training, path, identity
        self.every_s, self._saved = every_s, time.monotonic()

    def resume(self, *, replace: bool = False) -> bool:
        """Bring the training to the state of the checkpoint; False if there is none.

        Args:
            replace: whether to remove a checkpoint that is damaged or of another training.

        Raises:
            ValueError: it is one of these, and `replace` is False.
        """
        if not self.path.exists():
            return False
        try:
            load_checkpoint(self.path, self.training, self.identity)
        except ValueError:
            if not replace:
                raise
            self.path.unlink()
            return False
        return True

    def save(self) -> None:
        """Replace the checkpoint.

        Raises:
            DivergedError: a weight is not a finite number; the last good checkpoint stays.
        """
        self.check_finite()
        save_checkpoint(self.path, self.training, self.identity)
        self._saved = time.monotonic()

    def step_done(self) -> None:
        """Save after an epoch, and every `every_s` seconds. Call it after each step.

        Raises:
            DivergedError: as `save`.
        """
        due = self.training.epoch_ended or time.monotonic() - self._saved >= self.every_s
        if due and not self.training.share.rank:
            self.save()

    def check_finite(self) -> None:
        """DivergedError if a weight is not a finite number."""
        if not self.training.finite():
            raise DivergedError(
                f"training diverged at step {self.training.step} (non-finite weight): lower --lr"
            )

    def stopped(self) -> None:
        """Save what an interrupted training has, if it is worth it."""
        training = self.training
        if not training.share.rank and training.step and training.finite():
            self.save()

    @property
    def saved_text(self) -> str:
        """A sentence for messages: where the work so far is."""
        return f"What was done before is in {self.path}" if self.path.exists() else UNSAVED


UNSAVED = "Nothing was written yet"


def run_to_end(
    training: Training,
    writer: CheckpointWriter,
    *,
    after_step: Callable[[], object] | None = None,
    after_epoch: Callable[[Epoch], object] | None = None,
    advice: str = ADVICE,
) -> bool:
    """Train from the present step to the last, with checkpoints. Ctrl-C and a damaged image save
    one too.

    Args:
        after_step: runs after each step.
        after_epoch: runs after each epoch, before its checkpoint; a true answer ends the training.
        advice: what to do if memory runs out, for the message.

    Returns:
        Whether `after_epoch` ended the training.

    Raises:
        DivergedError: the loss or a weight is not a finite number; the last checkpoint is good.
        NoAnswerError: out of memory, or a process that decodes images died.
        DataError: an image is damaged.
    """
    try:
        with explain_failure(training.recipe, writer, advice=advice):
            for _ in training.run():
                if after_step is not None:
                    after_step()
                if training.epoch_ended and after_epoch is not None:
                    writer.check_finite()
                    if after_epoch(training.history[-1]):
                        return True
                writer.step_done()
    except (DataError, KeyboardInterrupt):
        writer.stopped()
        raise
    return False


@contextmanager
def explain_failure(
    recipe: Recipe, writer: CheckpointWriter | None = None, *, advice: str = ADVICE
) -> Iterator[None]:
    """One line, with what to do, if memory runs out or a process that decodes images dies.

    Raises:
        NoAnswerError: one of these happened in the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if out_of_memory(error):
            what = f"out of memory with --batch {recipe.batch} at --input {recipe.input}: {advice}"
        elif "DataLoader worker" in text:
            first = text.splitlines()[0]
            what = f"a decoding process died ({first}): lower --workers, 0 for none"
        else:
            raise
        raise NoAnswerError(f"{what}. {writer.saved_text if writer else UNSAVED}") from None


def out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether an error means that memory ran out, of the machine or of a GPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in NO_MEMORY)
