"""Batches of a data set, each a function of seed and step.

No sampler and no random generator has a state to save: the order of an epoch comes from the seed
and the epoch, the augmentation of a batch from the seed and the step (or, decoded on the fly or
by TrivialAugment, of an image from the seed, the epoch and its index). So a training can stop
anywhere and resume with the same batches, for any number of workers, and processes share each
batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evaluator.data.cache import Pixels
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipes.recipe import Recipe

Batch = tuple[Tensor, Tensor]
# ImageNet's channel means and standard deviations, as torchvision's models take them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.459,), (0.226,)  # of ITU-R 601 luma, weighted means of those
LUMA = (19595, 38470, 7471)  # of 65536, as Pillow converts colour to grey
TEST_BATCH = 250
ORDER, AUGMENT = 1, 2  # separate streams of random numbers


def seeded(*numbers: int) -> torch.Generator:
    """A generator whose stream depends on all the numbers."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def batch_indices(
    images: int, recipe: Recipe, seed: int, first: int, last: int
) -> Iterator[tuple[int, int, Tensor]]:
    """(step, epoch, int64 [batch] indices of images) of steps first .. last - 1: a seeded
    permutation for each epoch. A data set smaller than a batch gives fewer."""
    permuted = -1
    for step in range(first, last):
        epoch, batch = divmod(step, recipe.steps_per_epoch(images))
        if epoch != permuted:
            order = torch.randperm(images, generator=seeded(seed, ORDER, epoch))
            permuted = epoch
        yield step, epoch, order[batch * recipe.batch : (batch + 1) * recipe.batch]


def evaluation_slices(images: int, share: ProcessShare, size: int = TEST_BATCH) -> list[slice]:
    """The batches of a test of `size` images, in order; each process takes every world-th."""
    starts = range(0, images, size)[share.rank :: share.world]
    return [slice(start, min(start + size, images)) for start in starts]


@dataclass(eq=False)
class ArrayBatches:
    """Batches from decoded images, augmented all at once on `device`."""

    pixels: Pixels
    labels: Tensor
    recipe: Recipe
    seed: int
    share: ProcessShare = SINGLE_PROCESS
    device: str = "cpu"

    def train(self, first: int, last: int) -> Iterator[Batch]:
        """Images [n, channels, side, side] and labels [n] of steps first .. last - 1."""
        margin = shift_margin(self.recipe, self.pixels.shape[1])
        batches = batch_indices(len(self.labels), self.recipe, self.seed, first, last)
        for step, _, chosen in batches:
            draws = torch.rand(len(chosen), 3, generator=seeded(self.seed, AUGMENT, step))
            own, draws = self.share.of(chosen), self.share.of(draws).to(self.device)
            x = torch.from_numpy(self.pixels[own.numpy()]).to(self.device)
            moved = shifted(x, draws, margin)
            yield normalised(moved, self.recipe.channels), self.labels[own].to(self.device)

    def test(self) -> Iterator[Batch]:
        """All images of this process in order, unchanged."""
        for chosen in evaluation_slices(len(self.labels), self.share):
            x = torch.from_numpy(np.array(self.pixels[chosen])).to(self.device)
            yield normalised(x, self.recipe.channels), self.labels[chosen].to(self.device)


def shift_margin(recipe: Recipe, side: int) -> int:
    """By how many pixels at most the recipe shifts images of this side."""
    return side // 8 if recipe.geometry == "crop" else 0


def shifted(x: Tensor, draws: Tensor, margin: int) -> Tensor:
    """Each image shifted by up to `margin` pixels, what is outside mirrored, and flipped half the
    time. `x`: [n, side, side, 3]; `draws`: [n, 3] in 0..1 for rows, columns and the flip."""
    side = x.shape[1]
    line = torch.arange(side, device=x.device)
    offset = (draws[:, :2] * (2 * margin + 1)).long() - margin
    rows, columns = (line + offset[:, axis, None] for axis in (0, 1))
    rows, columns = ((side - 1) - ((side - 1) - each.abs()).abs() for each in (rows, columns))
    columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    return x[image, rows[:, :, None], columns[:, None, :]]


def statistics(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels in 0..1."""
    return (MEAN, STD) if channels == 3 else (GREY_MEAN, GREY_STD)


def channel_statistics(channels: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(weights of `LUMA`, mean and deviation of each channel in 0..255), for `normalised`."""
    luma = torch.tensor(LUMA, device=device, dtype=torch.int32)
    mean, std = (torch.tensor(each, device=device) * 255 for each in statistics(channels))
    return luma, mean, std


def normalised(x: Tensor, channels: int = 3, on: tuple[Tensor, ...] | None = None) -> Tensor:
    """uint8 [n, side, side, 3] as float [n, channels, side, side], channels last in memory.

    Args:
        on: what `channel_statistics` gives for the device of `x`; None: it is made for this call.
    """
    luma, mean, std = on or channel_statistics(channels, x.device)
    if channels == 1:
        x = ((x.int() * luma).sum(-1, keepdim=True) + 32768) >> 16
    return ((x.float() - mean) / std).permute(0, 3, 1, 2)
