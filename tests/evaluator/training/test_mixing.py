"""Random erasing, mixup and CutMix against slow loops, and what a step draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluator.training.images.mixing import (
    AREA,
    ASPECT,
    erased,
    erased_boxes,
    mix_numbers,
    mixed,
    partners,
)
from evaluator.training.recipes.recipe import MODERN_SMALL

RECIPE = MODERN_SMALL.changed(input=16, batch=8)


def images(count: int = 8) -> torch.Tensor:
    x = torch.randn(count, 3, 16, 12, generator=torch.Generator().manual_seed(1))
    return x.to(memory_format=torch.channels_last)


def test_erasing_leaves_the_rest() -> None:
    """Pixel by pixel, on images that are not square."""
    recipe = RECIPE.changed(width=12, erase=0.5)
    x, boxes = images(40), erased_boxes(recipe, 3, 7, 40)
    found = erased(x, boxes)
    for image, was, box in zip(found.numpy(), x.numpy(), boxes.tolist(), strict=True):
        top, bottom, left, right = box
        for row in range(16):
            for column in range(12):
                inside = top <= row < bottom and left <= column < right
                expected = np.zeros(3) if inside else was[:, row, column]
                assert (image[:, row, column] == expected).all()
    empty = sum(top == bottom for top, bottom, *_ in boxes.tolist())
    assert 8 <= empty <= 32  # half of 40, four standard deviations
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_boxes_are_those_of_torchvision() -> None:
    """Areas and aspects in their ranges, to the rounding of a side; as wide a spread."""
    from torchvision.transforms import v2

    boxes = erased_boxes(RECIPE.changed(input=224, erase=1.0), 0, 0, 4000).numpy()
    tall, wide = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert (boxes >= 0).all() and (boxes <= 224).all() and (tall > 0).all() and (wide > 0).all()
    assert AREA[0] * 0.97 < (tall * wide).min() / 224**2 < AREA[0] * 1.1
    assert AREA[1] * 0.95 < (tall * wide).max() / 224**2 < AREA[1] * 1.03
    assert ASPECT[0] * 0.95 < (tall / wide).min() and (tall / wide).max() < ASPECT[1] * 1.05
    theirs = v2.RandomErasing(p=1.0, scale=AREA, ratio=ASPECT, value=0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        areas = [float((theirs(torch.ones(1, 224, 224)) == 0).float().mean()) for _ in range(400)]
    assert np.mean(tall * wide) / 224**2 == pytest.approx(np.mean(areas), abs=0.02)
    # Every place is as likely as the others.
    centre = (boxes[:, 0] + boxes[:, 1]) / 2
    assert centre.mean() == pytest.approx(112, abs=4)


@pytest.mark.parametrize("alphas", [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_mixed_against_a_loop(alphas: tuple[float, float]) -> None:
    recipe = RECIPE.changed(width=12, mixup=alphas[0], cutmix=alphas[1])
    x, cuts = images(), 0
    for step in range(12):
        outside, kept, *box = mix_numbers(recipe, 5, step).tolist()
        top, bottom, left, right = map(int, box)
        found = mixed(x, mix_numbers(recipe, 5, step))
        for index in range(8):
            for row in range(16):
                for column in range(12):
                    inside = top <= row < bottom and left <= column < right
                    weight = 0.0 if inside else outside
                    own, other = x[index, :, row, column], x[index - 1, :, row, column]
                    torch.testing.assert_close(
                        found[index, :, row, column], weight * own + (1 - weight) * other
                    )
        cuts += outside == 1
        area = (bottom - top) * (right - left) / (16 * 12)
        assert kept == pytest.approx(outside * (1 - area))
        assert found.is_contiguous(memory_format=torch.channels_last)
    assert cuts == {(0.2, 0.0): 0, (0.0, 1.0): 12}.get(alphas, cuts)
    assert 0 < cuts < 12 or 0 in alphas


@pytest.mark.parametrize("cutmix", [False, True])
def test_as_torchvision_mixes(monkeypatch: pytest.MonkeyPatch, cutmix: bool) -> None:
    """Its MixUp and CutMix with the numbers of a step in place of its own draws."""
    from torchvision.transforms import v2

    recipe = RECIPE.changed(mixup=0.0 if cutmix else 0.4, cutmix=0.7 if cutmix else 0.0)
    numbers = mix_numbers(recipe, 1, 2)
    x, labels = images()[..., :12, :], torch.arange(8) % 3
    kind = v2.CutMix if cutmix else v2.MixUp
    theirs = kind(alpha=1.0, num_classes=3)
    _, kept, top, bottom, left, right = numbers.tolist()
    box = tuple(map(int, (left, top, right, bottom)))
    params = {"lam": kept, "box": box, "lam_adjusted": kept}
    monkeypatch.setattr(kind, "make_params", lambda self, inputs: params)
    expected, soft = theirs(x, labels)
    torch.testing.assert_close(mixed(x, numbers), expected)
    hot = torch.nn.functional.one_hot(labels, 3)
    torch.testing.assert_close(kept * hot + (1 - kept) * partners(hot), soft)


def test_shares_are_of_the_beta_distribution() -> None:
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)); both kinds equally often."""
    for alpha in (0.2, 1.0):
        recipe = RECIPE.changed(mixup=alpha, cutmix=0.0)
        found = np.array([mix_numbers(recipe, 0, step)[0].item() for step in range(3000)])
        assert found.mean() == pytest.approx(0.5, abs=0.03)
        assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.01)
    cuts = [mix_numbers(RECIPE, 0, step)[0].item() == 1 for step in range(1000)]
    assert np.mean(cuts) == pytest.approx(0.5, abs=0.07)


def test_a_step_draws_the_same_again() -> None:
    for draw in (
        lambda seed, step: mix_numbers(RECIPE, seed, step),
        lambda seed, step: erased_boxes(RECIPE.changed(erase=1.0), seed, step, 8),
    ):
        assert torch.equal(draw(3, 4), draw(3, 4))
        assert not torch.equal(draw(3, 4), draw(3, 5))
        assert not torch.equal(draw(3, 4), draw(4, 4))
