"""Random erasing, mixup and CutMix of a batch that is normalised already.

What a step draws is a function of seed and step. It is drawn on the processor, as numbers that a
device reads: nothing here waits for it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from evaluator.training.recipes.recipe import Recipe

MIX, ERASE = 3, 4  # streams of random numbers, beside those of `evaluator.training.images.batches`
# Random erasing (Zhong et al. 2020) as torchvision has it: share of the area, aspect ratio, and
# how often a rectangle that does not fit is drawn again.
AREA, ASPECT, ATTEMPTS = (0.02, 0.33), (0.3, 3.3), 10


def erased_boxes(recipe: Recipe, seed: int, step: int, images: int) -> Tensor:
    """What random erasing takes from each image of a step: int64 [images, 4], its top, bottom,
    left and right pixel, the second of each behind the last one; an empty box: nothing."""
    rng = np.random.default_rng((seed, ERASE, step))
    chosen = rng.random(images) < recipe.erase
    area, aspect, *place = rng.random((4, ATTEMPTS, images))
    height, width = recipe.size
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * area)
    low, high = map(math.log, ASPECT)
    aspect = np.exp(low + (high - low) * aspect)
    tall = np.rint(np.sqrt(area * aspect)).astype(np.int64)
    wide = np.rint(np.sqrt(area / aspect)).astype(np.int64)
    fits = (tall < height) & (wide < width)
    first, image = fits.argmax(0), np.arange(images)
    tall, wide = tall[first, image], wide[first, image]
    top, left = (
        (draw[first, image] * (side - size + 1)).astype(np.int64)
        for draw, side, size in zip(place, (height, width), (tall, wide), strict=True)
    )
    boxes = np.stack([top, top + tall, left, left + wide], 1)
    return torch.from_numpy(boxes * (chosen & fits.any(0))[:, None])


def erased(x: Tensor, boxes: Tensor) -> Tensor:
    """Images with their boxes at the mean, which is 0 here. `x`: [n, c, h, w]; `boxes`: [n, 4]."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    return torch.where(_inside(x, top, bottom, left, right)[:, None], 0.0, x)


def mix_numbers(recipe: Recipe, seed: int, step: int) -> Tensor:
    """What a step mixes: float64 [6]. The weight of an image outside a box (inside it is 0), the
    weight of its label, and the box, as `erased_boxes` has it.

    Mixup (Zhang et al. 2018) has no box; CutMix (Yun et al. 2019) has the weight 1 outside it.
    """
    rng = np.random.default_rng((seed, MIX, step))
    both = bool(recipe.mixup and recipe.cutmix)
    cuts = rng.random() < 0.5 if both else bool(recipe.cutmix)
    alpha = recipe.cutmix if cuts else recipe.mixup
    share = float(rng.beta(alpha, alpha))
    height, width = recipe.size
    y, x = int(rng.integers(height)), int(rng.integers(width))
    if not cuts:
        return torch.tensor([share, share, 0, 0, 0, 0], dtype=torch.float64)
    half = math.sqrt(1 - share) / 2
    tall, wide = int(half * height), int(half * width)
    top, bottom = max(0, y - tall), min(height, y + tall)
    left, right = max(0, x - wide), min(width, x + wide)
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return torch.tensor([1, kept, top, bottom, left, right], dtype=torch.float64)


def mixed(x: Tensor, numbers: Tensor) -> Tensor:
    """Each image mixed with the one before it in the batch, whose order is random; the first one
    with the last. `x`: [n, c, h, w]; `numbers`: of `mix_numbers`."""
    outside, _, *box = numbers.unbind()
    weight = torch.where(_inside(x, *box), 0.0, outside).to(x.dtype)
    return x * weight + partners(x) * (1 - weight)


def partners(values: Tensor) -> Tensor:
    """Of each image or label of a batch the one that it is mixed with."""
    return torch.cat([values[-1:], values[:-1]])  # keeps the order in memory, as `roll` does not


def _inside(x: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Which pixels of [..., h, w] lie in a box; [n, h, w] for limits [n, 1], [h, w] for []."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    row, column = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return row[..., :, None] & column[..., None, :]
