"""The one loop from the first step to the last, and one line for what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from evaluator.training.epoch import Epoch
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import Recipe
from evaluator.training.weights.checkpoint import UNSAVED, CheckpointWriter
from space.common.errors import DataError, MemoryNeededError, NoAnswerError

NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory",
    "status_alloc_failed",
)  # fmt: skip
# torch of a GPU: "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which
# 1.25 GiB is free."
TRIED = re.compile(r"Tried to allocate ([\d.]+ \w+).*?of which ([\d.]+ \w+) is free", re.DOTALL)
NO_PROCESS = "can't start new thread"
ADVICE = "lower --batch, then --input"


@dataclass(eq=False)
class TrainingSession:
    """A training with its checkpoint, one step at a time.

    Args:
        after_epoch: runs before the checkpoint of an epoch; a true answer ends the training.
        advice: what to do if memory runs out, for the message.
        stopped: whether `after_epoch` ended the training.
    """

    training: Training
    writer: CheckpointWriter
    after_epoch: Callable[[Epoch], object] | None = None
    advice: str = ADVICE
    stopped: bool = False

    def __post_init__(self) -> None:
        self._run = self.training.run()
        self._followed = self.training.step  # the last step after which all was done

    def advance(self) -> bool:
        """Take one step and do what follows it; False if the training is over.

        Raises:
            DivergedError: the loss or a weight is not a finite number; the last checkpoint is
                good.
            MemoryNeededError: out of memory.
            NoAnswerError: a process that decodes images died.
            DataError: an image is damaged.
        """
        training = self.training
        with explain_failure(training.recipe, self.writer, advice=self.advice):
            if self.stopped or next(self._run, None) is None:
                return False
            if training.epoch_ended and self.after_epoch is not None:
                self.writer.check_finite()
                if self.after_epoch(training.history[-1]):
                    self.stopped = True
                    return False
            self._followed = training.step
            self.writer.step_done()
        return True

    def save_interrupted(self) -> None:
        """Save a checkpoint after an interrupt or a damaged image, if there is more to keep."""
        # In the midst of a step, or of what follows an epoch, the last checkpoint is the one to
        # go on from: it repeats them.
        training = self.training
        followed = self._followed == training.step or not training.epoch_ended
        if training.step and training.whole and followed and training.finite():
            self.writer.save()


def run_to_end(session: TrainingSession, after_step: Callable[[], object] = lambda: None) -> bool:
    """Train from the present step to the last, with checkpoints. Ctrl-C waits for the end of the
    step and saves one too, as a damaged image does.

    Returns:
        Whether `after_epoch` ended the training.

    Raises:
        DivergedError, NoAnswerError, DataError: as `TrainingSession.advance`.
    """
    try:
        while session.advance():
            after_step()
    except (DataError, KeyboardInterrupt):
        session.save_interrupted()
        raise
    return session.stopped


@contextmanager
def explain_failure(
    recipe: Recipe, writer: CheckpointWriter | None = None, *, advice: str = ADVICE
) -> Iterator[None]:
    """One line, with what to do, if memory runs out or a process that decodes images dies.

    Raises:
        MemoryNeededError: memory ran out in the block.
        NoAnswerError: a process died or could not be started.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text, kind = str(error), NoAnswerError
        if isinstance(error, MemoryError) or any(words in text.lower() for words in NO_MEMORY):
            size = "x".join(map(str, dict.fromkeys(recipe.size)))
            kind = MemoryNeededError
            tried = TRIED.search(text)
            more = f" ({tried[1]} more needed, {tried[2]} free)" if tried else ""
            what = f"out of memory{more} with --batch {recipe.batch} at --input {size}: {advice}"
        elif NO_PROCESS in text:
            what = f"the system gives no more processes ({text.splitlines()[0]}): lower --workers"
        elif "DataLoader worker" in text:
            first = text.splitlines()[0]
            what = f"a decoding process died ({first}): lower --workers, 0 for none"
        else:
            raise
        raise kind(f"{what}. {writer.saved_text if writer else UNSAVED}") from None
