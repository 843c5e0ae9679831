"""The one loop from the first step to the last, and one line for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evaluator.training.checkpoint import UNSAVED, CheckpointWriter
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from space.common.errors import DataError, NoAnswerError

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
ADVICE = "lower --batch, then --input"


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
        after_epoch: runs before the checkpoint of an epoch; a true answer ends the training.
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
        if training.step and training.finite():
            writer.save()
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
        if isinstance(error, MemoryError) or any(words in text.lower() for words in NO_MEMORY):
            what = f"out of memory with --batch {recipe.batch} at --input {recipe.input}: {advice}"
        elif "DataLoader worker" in text:
            first = text.splitlines()[0]
            what = f"a decoding process died ({first}): lower --workers, 0 for none"
        else:
            raise
        raise NoAnswerError(f"{what}. {writer.saved_text if writer else UNSAVED}") from None
