"""The batches that a training reads."""

from __future__ import annotations

import torch

from evaluator.data.cache import decoded, fits
from evaluator.data.dataset import Part
from evaluator.training.batches import ArrayBatches, DecodedBatches
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipe import Recipe
from space.common.progress import Progress
from space.network.resize import SMALL


def make_batches(
    part: Part,
    recipe: Recipe,
    seed: int,
    *,
    device: str = "cpu",
    workers: int = 0,
    share: ProcessShare = SINGLE_PROCESS,
    quiet: bool = True,
) -> ArrayBatches | DecodedBatches:
    """Batches of a part: decoded once into the cache if the recipe's inputs are small and they
    fit, else decoded on the fly.

    Args:
        workers: processes or threads that decode; 0: this one.
        quiet: no progress bar.

    Raises:
        DataError: an image is damaged.
    """
    small = recipe.input <= SMALL and recipe.augment != "scale"
    if not small or not fits(part, recipe.input):
        return DecodedBatches(part, recipe, seed, share, device, workers)
    if share.rank:
        torch.distributed.barrier()  # the first process decodes, the others read
    with Progress("decoding", len(part), quiet=quiet or share.rank > 0) as bar:
        pixels = decoded(part, recipe.input, workers=workers, progress=bar.update)
    if share.world > 1 and not share.rank:
        torch.distributed.barrier()
    labels = torch.from_numpy(part.labels.copy())
    return ArrayBatches(pixels, labels, recipe, seed, share, device)
