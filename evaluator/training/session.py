"""The one loop from the first step to the last, and one line for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evaluator.training.checkpoint import UNSAVED, CheckpointWriter
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from space.common.errors import DataError, NoAnswerError

NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory",
    "status_alloc_failed",
)  # fmt: skip
NO_PROCESS = "can't start new thread"
ADVICE = "lower --batch, then --input"


def run_to_end(
    training: Training,
    writer: CheckpointWriter,
    *,
    after_step: Callable[[], object] | None = None,
    after_epoch: Callable[[Epoch], object] | None = None,
    advice: str = ADVICE,
) -> bool:
    """Train from the present step to the last, with checkpoints. Ctrl-C waits for the end of the
    step and saves one too, as a damaged image does.

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
    followed = training.step  # the last step after which all that follows it was done
    try:
        with explain_failure(training.recipe, writer, advice=advice):
            for _ in training.run():
                if after_step is not None:
                    after_step()
                if training.epoch_ended and after_epoch is not None:
                    writer.check_finite()
                    if after_epoch(training.history[-1]):
                        return True
                followed = training.step
                writer.step_done()
    except (DataError, KeyboardInterrupt):
        # In the midst of a step, or of what follows an epoch, the last checkpoint is the one to
        # go on from: it repeats them.
        whole = training.whole and (followed == training.step or not training.epoch_ended)
        if training.step and whole and training.finite():
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
            size = "x".join(map(str, dict.fromkeys(recipe.size)))
            what = f"out of memory with --batch {recipe.batch} at --input {size}: {advice}"
        elif NO_PROCESS in text:
            what = f"the system gives no more processes ({text.splitlines()[0]}): lower --workers"
        elif "DataLoader worker" in text:
            first = text.splitlines()[0]
            what = f"a decoding process died ({first}): lower --workers, 0 for none"
        else:
            raise
        raise NoAnswerError(f"{what}. {writer.saved_text if writer else UNSAVED}") from None
