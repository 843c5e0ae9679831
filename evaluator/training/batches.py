"""Batches of a data set, each a function of seed and step.

No sampler and no random generator has a state to save: the order of an epoch comes from the seed
and the epoch, the augmentation of a batch from the seed and the step (or, decoded on the fly, of
an image from the seed, the epoch and its index). So a training can stop anywhere and resume with
the same batches, for any number of workers, and processes share each batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from evaluator.data.cache import Pixels, decoded, fits
from evaluator.data.dataset import Part
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipe import Recipe
from space.common.errors import DataError
from space.common.progress import Progress
from space.network.resize import SMALL

if TYPE_CHECKING:
    from PIL.Image import Image

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


def evaluation_slices(images: int, share: ProcessShare) -> list[slice]:
    """The batches of a test, in order; each process takes every world-th."""
    starts = range(0, images, TEST_BATCH)[share.rank :: share.world]
    return [slice(start, min(start + TEST_BATCH, images)) for start in starts]


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
        margin = self.pixels.shape[1] // 8 if self.recipe.augment == "crop" else 0
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


def normalised(x: Tensor, channels: int = 3) -> Tensor:
    """uint8 [n, side, side, 3] as float [n, channels, side, side], channels last in memory."""
    if channels == 1:
        luma = torch.tensor(LUMA, device=x.device, dtype=torch.int32)
        x = ((x.int() * luma).sum(-1, keepdim=True) + 32768) >> 16
    mean, std = (torch.tensor(each, device=x.device) * 255 for each in statistics(channels))
    return ((x.float() - mean) / std).permute(0, 3, 1, 2)


class Decoded(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Images decoded and transformed one at a time; item: (epoch, index), epoch -1 for a test."""

    def __init__(self, part: Part, recipe: Recipe, seed: int) -> None:
        self.part, self.seed = part, seed
        self.changes = {True: transforms(recipe, train=True), False: transforms(recipe)}

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, int] | str:
        epoch, index = item
        try:
            image = self.part.image(index)
        except DataError as error:
            return str(error)  # an exception from a worker would arrive as its whole traceback
        with torch.random.fork_rng(devices=[]):
            state = seeded(self.seed, AUGMENT, epoch + 1, index).initial_seed()
            torch.default_generator.manual_seed(state)
            return self.changes[epoch >= 0](image), int(self.part.labels[index])


def transforms(recipe: Recipe, *, train: bool = False) -> Any:
    """torchvision's transforms, from a PIL image to float [channels, height, width]."""
    from torchvision.transforms import v2

    (height, width), large = recipe.size, max(recipe.size) > SMALL
    square = height == width
    if train and recipe.augment == "scale":
        flip = v2.RandomHorizontalFlip()
        steps: list[Any] = [v2.RandomResizedCrop((height, width), scale=(0.25, 1.0)), flip]
    else:
        # Tests see 256 for 224, as is usual; images of CIFAR's kind are not cut.
        share = 8 / 7 if large and not train else 1
        sides = round(height * share), round(width * share)
        steps = [v2.Resize(sides[0]) if square else v2.Lambda(partial(_filling, sides))]
        steps.append(v2.CenterCrop((height, width)))
    if train and recipe.augment != "scale":
        steps.append(v2.RandomHorizontalFlip())
        if recipe.augment == "crop":
            padding = [width // 8, height // 8]
            steps.append(v2.RandomCrop((height, width), padding=padding, padding_mode="reflect"))
    steps += [v2.Grayscale(1)] if recipe.channels == 1 else []
    scaled = v2.ToDtype(torch.float32, scale=True)
    last = [v2.ToImage(), scaled, v2.Normalize(*statistics(recipe.channels))]
    return v2.Compose([*steps, *last])


def _filling(sides: tuple[int, int], image: Image) -> Image:
    """The middle of an image that has the shape of `sides`, (height, width), resized to them."""
    from PIL import Image as Images
    from PIL import ImageOps

    return ImageOps.fit(image, sides[::-1], Images.Resampling.BILINEAR)


@dataclass(eq=False)
class DecodedBatches:
    """Batches decoded on the fly by `workers` processes (0: by this one)."""

    part: Part
    recipe: Recipe
    seed: int
    share: ProcessShare = SINGLE_PROCESS
    device: str = "cpu"
    workers: int = 0

    def train(self, first: int, last: int) -> Iterator[Batch]:
        """Images [n, channels, height, width] and labels [n] of steps first .. last - 1."""
        steps = batch_indices(len(self.part), self.recipe, self.seed, first, last)
        return self._batches(
            [(epoch, int(index)) for index in self.share.of(chosen)] for _, epoch, chosen in steps
        )

    def test(self) -> Iterator[Batch]:
        """All images of this process in order."""
        slices = evaluation_slices(len(self.part), self.share)
        return self._batches([(-1, i) for i in range(s.start, s.stop)] for s in slices)

    def _batches(self, items: Iterator[list[tuple[int, int]]]) -> Iterator[Batch]:
        with warnings.catch_warnings():  # more processes than cores is the user's choice
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            loader = torch.utils.data.DataLoader(
                Decoded(self.part, self.recipe, self.seed),
                batch_sampler=items,  # type: ignore[arg-type]
                num_workers=self.workers,
                multiprocessing_context="fork" if self.workers else None,
                collate_fn=_collated,
                generator=torch.Generator(),  # or it would draw from the global one
                pin_memory=self.device.startswith("cuda"),
            )
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, str):
                raise DataError(batch)
            x, y = batch
            layout = torch.channels_last
            yield x.to(self.device, memory_format=layout, non_blocking=True), y.to(self.device)


def _collated(items: list[Any]) -> Batch | str:
    errors = [item for item in items if isinstance(item, str)]
    if errors:
        return errors[0]
    images, labels = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(labels)


def make_batches(
    part: Part,
    recipe: Recipe,
    seed: int,
    *,
    device: str,
    workers: int,
    share: ProcessShare = SINGLE_PROCESS,
    quiet: bool = True,
) -> ArrayBatches | DecodedBatches:
    """Batches of a part: decoded once into the cache if the recipe's inputs are small and they
    fit, else decoded on the fly.

    Args:
        workers: processes or threads that decode; 0: this one.
        quiet: no progress bar.

    Raises:
        DataError: an image is damaged.
    """
    height, width = recipe.size
    small = height == width <= SMALL and recipe.augment != "scale"
    if not small or not fits(part, recipe.input):
        return DecodedBatches(part, recipe, seed, share, device, workers)
    if share.rank:
        torch.distributed.barrier()  # the first process decodes, the others read
    with Progress("decoding", len(part), quiet=quiet or share.rank > 0) as bar:
        pixels = decoded(part, recipe.input, workers=workers, progress=bar.update)
    if share.world > 1 and not share.rank:
        torch.distributed.barrier()
    labels = torch.from_numpy(part.labels.copy())
    return ArrayBatches(pixels, labels, recipe, seed, share, device)
