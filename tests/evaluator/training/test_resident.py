"""Images that live on the device give the batches of `ArrayBatches`, image for image."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evaluator.data.cache import Pixels
from evaluator.training.images.batches import ArrayBatches
from evaluator.training.images.open_batches import array_batches
from evaluator.training.images.resident import ResidentBatches, ResidentImages
from evaluator.training.recipes.recipe import SHORT

RECIPE = SHORT.changed(input=16, batch=8)
IMAGES = 27  # three batches an epoch, three images left out


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 16, 16, 3), dtype=np.uint8)


LABELS = torch.arange(IMAGES) % 3


@pytest.mark.parametrize("augment", ["crop", "flip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_batches(pixels: Pixels, augment: str, channels: int) -> None:
    recipe = RECIPE.changed(augment=augment, channels=channels)
    images = ResidentImages.put(pixels, LABELS, "cpu")
    assert images is not None
    ours = ResidentBatches(images, recipe, 5)
    theirs = ArrayBatches(pixels, LABELS, recipe, 5)
    steps = list(zip(ours.train(1, 8), theirs.train(1, 8), strict=True))
    assert len(steps) == 7
    for (x, y), (expected, labels) in steps:
        assert torch.equal(x, expected) and torch.equal(y, labels)
        assert x.is_contiguous(memory_format=torch.channels_last)
    x, y = (torch.cat(each) for each in zip(*ours.test(), strict=True))
    expected, labels = (torch.cat(each) for each in zip(*theirs.test(), strict=True))
    assert torch.equal(x, expected) and torch.equal(y, labels)


def test_a_step_from_its_tables(pixels: Pixels) -> None:
    """Step 4 is the second batch of the second epoch."""
    images = ResidentImages.put(pixels, LABELS, "cpu")
    assert images is not None
    batches = ResidentBatches(images, RECIPE, 5)
    order, draws = batches.tables(3, 6)
    assert (order.shape, order.dtype, draws.shape) == ((3, 8), torch.int64, (3, 8, 3))
    assert len(set(order.flatten().tolist())) == 24  # no image twice in an epoch
    (expected, labels) = next(ArrayBatches(pixels, LABELS, RECIPE, 5).train(4, 5))
    x, y = batches.compose(order[1], draws[1])
    assert torch.equal(x, expected) and torch.equal(y, labels)
    few = ResidentBatches(ResidentImages(images.pixels[:5], images.labels[:5]), RECIPE, 5)
    assert (few.size, few.tables(0, 2)[0].shape) == (5, (2, 5))


def test_what_does_not_fit_stays_where_it_is(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the free memory is the limit; images of a process among several stay too."""
    free = 4 * pixels.nbytes - 4
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(mem_get_info=lambda device: (free, free)))
    assert ResidentImages.put(pixels, LABELS, "cuda") is None
    assert isinstance(array_batches(pixels, LABELS, RECIPE, 0, "cuda"), ArrayBatches)
    assert isinstance(array_batches(pixels, LABELS, RECIPE, 0, "cpu"), ArrayBatches)
