"""The batches that a training reads."""

from __future__ import annotations

from collections.abc import Callable

import torch

from evaluator.data.cache import decoded, fits
from evaluator.data.dataset import Part
from evaluator.training.batches import ArrayBatches, DecodedBatches
from evaluator.training.process import ProcessShare
from evaluator.training.recipe import Recipe
from evaluator.training.reporter import TrainingReporter
from space.network.resize import SMALL


def decodes_once(part: Part, recipe: Recipe) -> bool:
    """Whether a part is decoded once into the cache: its inputs are small, and there is room."""
    small = recipe.input <= SMALL and recipe.augment != "scale"
    return small and fits(part, recipe.input)


def batches(
    recipe: Recipe,
    seed: int,
    share: ProcessShare,
    device: str,
    workers: int,
    show: TrainingReporter,
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
