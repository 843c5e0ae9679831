"""TrivialAugment of decoded images: as torchvision changes each, whoever makes the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from evaluator.data.dataset import Part
from evaluator.training.images.batches import (
    AUGMENT,
    ArrayBatches,
    batch_indices,
    normalised,
    seeded,
)
from evaluator.training.images.decoding import DecodedBatches
from evaluator.training.images.open_batches import kept_decoded, make_batches, resident_images
from evaluator.training.images.trivial import TrivialBatches
from evaluator.training.process import ProcessShare
from evaluator.training.recipes.recipe import MODERN_SMALL, SHORT, Recipe

RECIPE = MODERN_SMALL.changed(input=16, batch=6)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
LABELS = torch.arange(24) % 3
PART = Part(LABELS.numpy(), lambda i: Image.fromarray(PIXELS[i]), lambda i: f"image {i}", "k")


def batches(
    recipe: Recipe = RECIPE, workers: int = 0, rank: int = 0, world: int = 1
) -> TrivialBatches:
    share = ProcessShare(rank, world)
    tests = ArrayBatches(PIXELS, LABELS, recipe, 5, share)
    return TrivialBatches(PIXELS, LABELS, recipe, 5, tests, share, workers=workers)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_as_torchvision_does(channels: int) -> None:
    """The shifted and flipped image of `ArrayBatches`, changed with a generator of its own."""
    recipe = RECIPE.changed(channels=channels)
    change = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)
    plain = ArrayBatches(PIXELS, LABELS, recipe.changed(channels=3), 5)
    steps = list(batch_indices(24, recipe, 5, 3, 6))
    mean, std = (np.array(each) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    moved = [
        np.rint((x.permute(0, 2, 3, 1).numpy() * std + mean) * 255) for x, _ in plain.train(3, 6)
    ]
    for (x, labels), (_, epoch, chosen), before in zip(
        batches(recipe).train(3, 6), steps, moved, strict=True
    ):
        expected = []
        for image, index in zip(before.astype(np.uint8), chosen.tolist(), strict=True):
            with torch.random.fork_rng(devices=[]):
                state = seeded(5, AUGMENT, epoch + 1, index).initial_seed()
                torch.default_generator.manual_seed(state)
                expected.append(np.asarray(change(Image.fromarray(image))))
        assert not np.array_equal(np.stack(expected), before)
        assert torch.equal(x, normalised(torch.from_numpy(np.stack(expected)), channels))
        assert torch.equal(labels, LABELS[chosen])
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_they_go_on_and_divide() -> None:
    whole = list(batches().train(0, 9))
    state = torch.random.get_rng_state()
    rest = list(batches().train(5, 9))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[5:], rest, strict=True))
    halves = [list(batches(rank=rank, world=2).train(0, 9)) for rank in range(2)]
    for step, (x, labels) in enumerate(whole):
        assert torch.equal(torch.cat([half[step][0] for half in halves]), x)
        assert torch.equal(torch.cat([half[step][1] for half in halves]), labels)
    assert not torch.equal(whole[0][0], whole[4][0])  # another epoch


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_processes_change_nothing(workers: int) -> None:
    for ours, theirs in zip(
        batches(workers=workers).train(2, 9), batches().train(2, 9), strict=True
    ):
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.usefixtures("image_cache")
def test_what_a_recipe_names_is_there() -> None:
    """Small images: from the cache. Crops of a random area: decoded each time. On a GPU: no images
    that live there, which nobody could augment."""
    small = make_batches(PART, RECIPE, 0, device="cpu", workers=0)
    assert isinstance(small, TrivialBatches)
    assert isinstance(
        make_batches(PART, SHORT.changed(input=16), 0, device="cpu", workers=0), ArrayBatches
    )
    scaled = RECIPE.changed(augment="scale+trivial")
    assert not kept_decoded(PART, scaled)
    decoded = make_batches(PART, scaled, 0, device="cpu", workers=0)
    assert isinstance(decoded, DecodedBatches)
    assert resident_images(PART, RECIPE, device="cuda", workers=0) is None
    ((x, _),) = small.test()
    assert torch.equal(x, normalised(torch.from_numpy(PIXELS)))


@pytest.mark.parametrize("geometry", ["flip", "crop", "scale"])
def test_decoded_images_are_changed_too(geometry: str) -> None:
    """The same generator draws the crop and the flip first."""
    recipe = RECIPE.changed(augment=geometry)
    trivial = RECIPE.changed(augment=f"{geometry}+trivial")
    (plain, labels), (changed, same) = (
        next(DecodedBatches(PART, each, 0).train(1, 2)) for each in (recipe, trivial)
    )
    assert torch.equal(labels, same)
    differ = [not torch.equal(a, b) for a, b in zip(plain, changed, strict=True)]
    assert 2 <= sum(differ) <= 6  # of six; one change of 14 is none, others are of strength 0
    ((x, _),) = DecodedBatches(PART, trivial, 0).test()
    ((expected, _),) = DecodedBatches(PART, recipe, 0).test()
    assert torch.equal(x, expected)
