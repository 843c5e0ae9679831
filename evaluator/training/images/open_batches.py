"""Chooses how the images of a training are decoded, and where they are kept."""

from __future__ import annotations

import torch
from torch import Tensor

from evaluator.data.cache import Pixels, decoded, fits
from evaluator.data.dataset import Part
from evaluator.training.images.batches import ArrayBatches
from evaluator.training.images.decoding import DecodedBatches
from evaluator.training.images.resident import ResidentBatches, ResidentImages
from evaluator.training.images.trivial import TrivialBatches
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipes.recipe import Recipe
from space.common.progress import Progress
from space.network.resize import SMALL


def kept_decoded(part: Part, recipe: Recipe) -> bool:
    """Whether the images are decoded once, not on the fly: they are small, and fit the cache."""
    height, width = recipe.size
    small = height == width <= SMALL and recipe.geometry != "scale"
    return small and fits(part, recipe.input)


def make_batches(
    part: Part,
    recipe: Recipe,
    seed: int,
    *,
    device: str,
    workers: int,
    share: ProcessShare = SINGLE_PROCESS,
    quiet: bool = True,
) -> ArrayBatches | DecodedBatches | ResidentBatches | TrivialBatches:
    """Batches of a part: decoded once into the cache if the recipe's inputs are small and they
    fit, and then kept on a GPU if they fit there; else decoded on the fly. With TrivialAugment,
    the processor makes the batches to train on.

    Args:
        workers: processes or threads that decode; 0: this one.
        quiet: no progress bar.

    Raises:
        DataError: an image is damaged.
    """
    if not kept_decoded(part, recipe):
        return DecodedBatches(part, recipe, seed, share, device, workers)
    pixels, labels = _decoded(part, recipe, workers, share, quiet=quiet)
    batches = array_batches(pixels, labels, recipe, seed, device, share)
    if not recipe.trivial:
        return batches
    return TrivialBatches(pixels, labels, recipe, seed, batches, share, device, workers)


def resident_images(
    part: Part, recipe: Recipe, *, device: str, workers: int
) -> ResidentImages | None:
    """The images of a part on a GPU, for several trainings; None if they are not kept there, or
    the processor augments them.

    Raises:
        DataError: an image is damaged.
    """
    if device == "cpu" or recipe.trivial or not kept_decoded(part, recipe):
        return None
    pixels, labels = _decoded(part, recipe, workers, SINGLE_PROCESS, quiet=True)
    return ResidentImages.put(pixels, labels, device)


def _decoded(
    part: Part, recipe: Recipe, workers: int, share: ProcessShare, *, quiet: bool
) -> tuple[Pixels, Tensor]:
    if share.rank:
        torch.distributed.barrier()  # the first process decodes, the others read
    with Progress("decoding", len(part), quiet=quiet or share.rank > 0) as bar:
        pixels = decoded(part, recipe.input, workers=workers, progress=bar.update)
    if share.world > 1 and not share.rank:
        torch.distributed.barrier()
    return pixels, torch.from_numpy(part.labels.copy())


def array_batches(
    pixels: Pixels,
    labels: Tensor,
    recipe: Recipe,
    seed: int,
    device: str,
    share: ProcessShare = SINGLE_PROCESS,
) -> ArrayBatches | ResidentBatches:
    """Batches of decoded images, which a single process keeps on a GPU if they fit there."""
    if device != "cpu" and share.world == 1:
        images = ResidentImages.put(pixels, labels, device)
        if images is not None:
            return ResidentBatches(images, recipe, seed)
    return ArrayBatches(pixels, labels, recipe, seed, share, device)
