"""Images that live on the device: a part of a data set as one tensor of bytes in its memory, which
all trainings on it share. Batches are gathered and augmented there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from evaluator.data.cache import Pixels
from evaluator.training.images.batches import (
    AUGMENT,
    Batch,
    batch_indices,
    channel_statistics,
    evaluation_slices,
    normalised,
    seeded,
    shift_margin,
    shifted,
)
from evaluator.training.process import SINGLE_PROCESS
from evaluator.training.recipes.recipe import Recipe

TEST_IMAGES = 1000  # of a batch of tests: a GPU waits less for few large batches
SHARE = 0.25  # of the free memory that the images of one part may take


@dataclass(frozen=True, eq=False)
class ResidentImages:
    """`pixels`: uint8 [n, side, side, 3]; `labels`: int64 [n]; both on one device."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def put(cls, pixels: Pixels, labels: Tensor, device: str) -> ResidentImages | None:
        """Copy decoded images and their labels to a device; None if they take more than `SHARE` of
        the GPU memory that is free."""
        if device != "cpu" and pixels.nbytes > SHARE * torch.cuda.mem_get_info(device)[0]:
            return None
        # A copy first: the array is a map of a file, which nobody may write to.
        return cls(torch.tensor(pixels).to(device), labels.to(device))


@dataclass(eq=False)
class ResidentBatches:
    """The batches of `ArrayBatches`, image for image, made on the device."""

    images: ResidentImages
    recipe: Recipe
    seed: int

    @property
    def size(self) -> int:
        """Images of a batch; all steps have as many."""
        return min(self.recipe.batch, len(self.images.labels))

    def tables(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """What steps first .. last - 1 take, on the CPU: indices of images, int64 [steps, batch],
        and random numbers for their augmentation, float32 [steps, batch, 3] in 0..1."""
        return step_tables(len(self.images.labels), self.recipe, self.seed, first, last)

    def compose(self, chosen: Tensor, draws: Tensor) -> Batch:
        """The images at the indices `chosen`, augmented, float [n, channels, side, side], and
        their labels. Nothing is read back from the device: it can be part of a CUDA graph."""
        pixels = self.images.pixels
        margin = shift_margin(self.recipe, pixels.shape[1])
        moved = shifted(pixels.index_select(0, chosen), draws, margin)
        return self._normalised(moved), self.images.labels.index_select(0, chosen)

    def train(self, first: int, last: int) -> Iterator[Batch]:
        """Images and labels of steps first .. last - 1."""
        device = self.images.pixels.device
        for step in range(first, last):
            chosen, draws = self.tables(step, step + 1)
            yield self.compose(chosen[0].to(device), draws[0].to(device))

    def test(self) -> Iterator[Batch]:
        """All images in order, unchanged."""
        for chosen in evaluation_slices(len(self.images.labels), SINGLE_PROCESS, TEST_IMAGES):
            yield self._normalised(self.images.pixels[chosen]), self.images.labels[chosen]

    def _normalised(self, x: Tensor) -> Tensor:
        channels = self.recipe.channels
        found = normalised(x, channels, _statistics_on(channels, x.device))
        return found.contiguous() if found.is_cuda else found  # as the weights of the training are


@lru_cache(maxsize=16)
def step_tables(
    images: int, recipe: Recipe, seed: int, first: int, last: int
) -> tuple[Tensor, Tensor]:
    """As `ResidentBatches.tables`. Trainings with one seed take the same steps."""
    steps = batch_indices(images, recipe, seed, first, last)
    order = torch.stack([chosen for _, _, chosen in steps])
    draws = [torch.rand(order.shape[1], 3, generator=seeded(seed, AUGMENT, step))
             for step in range(first, last)]  # fmt: skip
    return order, torch.stack(draws)


@lru_cache(maxsize=8)
def _statistics_on(channels: int, device: torch.device) -> tuple[Tensor, ...]:
    return channel_statistics(channels, device)
