"""TrivialAugment of images that are decoded already, by processes or by this one.

torchvision changes single images, on the processor. So a training on a GPU takes its images from
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evaluator.data.cache import Pixels
from evaluator.training.images.batches import (
    AUGMENT,
    ArrayBatches,
    Batch,
    batch_indices,
    normalised,
    seeded,
    shift_margin,
    shifted,
)
from evaluator.training.images.decoding import loaded, trivial_augment
from evaluator.training.images.resident import ResidentBatches
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipes.recipe import Recipe


@dataclass(eq=False)
class TrivialBatches:
    """Batches as of `ArrayBatches`, with TrivialAugment after the shift and the flip.

    Args:
        tests: batches to test on, which are not augmented.
        workers: processes that make batches; 0: this one. The batches are the same.
    """

    pixels: Pixels
    labels: Tensor
    recipe: Recipe
    seed: int
    tests: ArrayBatches | ResidentBatches
    share: ProcessShare = SINGLE_PROCESS
    device: str = "cpu"
    workers: int = 0

    def train(self, first: int, last: int) -> Iterator[Batch]:
        """Images [n, channels, side, side] and labels [n] of steps first .. last - 1."""
        steps = batch_indices(len(self.labels), self.recipe, self.seed, first, last)
        composer = BatchComposer(self.pixels, self.labels, self.recipe, self.seed, self.share)
        # Once for all steps: an array, and no tensor, whose memory processes would share.
        items = ((step, epoch, chosen.numpy()) for step, epoch, chosen in steps)
        batches = loaded(composer, self.workers, self.device, batch_size=None, sampler=items)
        for x, labels in batches:
            yield x.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def test(self) -> Iterator[Batch]:
        """All images of this process in order, unchanged."""
        return self.tests.test()


@dataclass(eq=False)
class BatchComposer(torch.utils.data.Dataset[Batch]):
    """Makes the batches of `TrivialBatches`; item: (step, epoch, indices of all its images)."""

    pixels: Pixels
    labels: Tensor
    recipe: Recipe
    seed: int
    share: ProcessShare

    def __getitem__(self, item: tuple[int, int, np.ndarray]) -> Batch:
        step, epoch, indices = item
        draws = torch.rand(len(indices), 3, generator=seeded(self.seed, AUGMENT, step))
        own = self.share.of(torch.from_numpy(indices))
        x = torch.from_numpy(self.pixels[own.numpy()])
        moved = shifted(x, self.share.of(draws), shift_margin(self.recipe, x.shape[1])).numpy()
        changed = np.stack(list(self._changed(moved, own, epoch)))
        return normalised(torch.from_numpy(changed), self.recipe.channels), self.labels[own]

    def _changed(self, images: Pixels, indices: Tensor, epoch: int) -> Iterator[Pixels]:
        from PIL import Image

        change = trivial_augment()
        with torch.random.fork_rng(devices=[]):
            for image, index in zip(images, indices.tolist(), strict=True):
                state = seeded(self.seed, AUGMENT, epoch + 1, index).initial_seed()
                torch.default_generator.manual_seed(state)
                yield np.asarray(change(Image.fromarray(image)))
