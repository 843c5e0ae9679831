"""The batches that a training reads."""

from __future__ import annotations

from collections.abc import Callable

import torch

from evaluator.data import Part
from evaluator.data_batches import ArrayBatches, DecodedBatches, Share
from evaluator.data_cache import decoded, fits
from evaluator.recipe import Recipe
from evaluator.train_show import Show
from space.small import SMALL


def decodes_once(part: Part, recipe: Recipe) -> bool:
    """Whether a part is decoded once into the cache: its inputs are small, and there is room."""
    small = recipe.input <= SMALL and recipe.augment != "scale"
    return small and fits(part, recipe.input)


def batches(
    recipe: Recipe, seed: int, share: Share, device: str, workers: int, show: Show
) -> Callable[[Part], ArrayBatches | DecodedBatches]:
    """Batches of a part: decoded once into the cache where inputs are small, else on the fly."""

    def make(part: Part) -> ArrayBatches | DecodedBatches:
        if not decodes_once(part, recipe):
            return DecodedBatches(part, recipe, seed, share, device, workers)
        if share.rank:
            torch.distributed.barrier()  # the first process decodes, the others read
        with show.decoding(len(part)) as advance:
            pixels = decoded(part, recipe.input, workers=workers, progress=advance)
        if share.world > 1 and not share.rank:
            torch.distributed.barrier()
        labels = torch.from_numpy(part.labels.copy())
        return ArrayBatches(pixels, labels, recipe, seed, share, device)

    return make
