"""Batches of images that are decoded on the fly, by processes or by this one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evaluator.data.dataset import Part
from evaluator.training.images.batches import (
    AUGMENT,
    Batch,
    batch_indices,
    evaluation_slices,
    seeded,
    statistics,
)
from evaluator.training.process import SINGLE_PROCESS, ProcessShare
from evaluator.training.recipes.recipe import Recipe
from space.common.errors import DataError
from space.network.resize import SMALL

if TYPE_CHECKING:
    from PIL.Image import Image


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
    if train and recipe.geometry == "scale":
        flip = v2.RandomHorizontalFlip()
        steps: list[Any] = [v2.RandomResizedCrop((height, width), scale=(0.25, 1.0)), flip]
    else:
        # Tests see 256 for 224, as is usual; images of CIFAR's kind are not cut.
        share = 8 / 7 if large and not train else 1
        sides = round(height * share), round(width * share)
        steps = [v2.Resize(sides[0]) if square else v2.Lambda(partial(_filling, sides))]
        steps.append(v2.CenterCrop((height, width)))
    if train and recipe.geometry != "scale":
        steps.append(v2.RandomHorizontalFlip())
        if recipe.geometry == "crop":
            padding = [width // 8, height // 8]
            steps.append(v2.RandomCrop((height, width), padding=padding, padding_mode="reflect"))
    steps += [trivial_augment()] if train and recipe.trivial else []
    steps += [v2.Grayscale(1)] if recipe.channels == 1 else []
    scaled = v2.ToDtype(torch.float32, scale=True)
    last = [v2.ToImage(), scaled, v2.Normalize(*statistics(recipe.channels))]
    return v2.Compose([*steps, *last])


def trivial_augment() -> Any:
    """TrivialAugment (Mueller and Hutter 2021, its wide space) of a PIL image: one change of 14,
    of a random strength, drawn from torch's default generator."""
    from torchvision.transforms import v2

    return v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)


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
        dataset = Decoded(self.part, self.recipe, self.seed)
        batches = loaded(
            dataset, self.workers, self.device, batch_sampler=items, collate_fn=_collated
        )
        for batch in batches:
            if isinstance(batch, str):
                raise DataError(batch)
            x, y = batch
            layout = torch.channels_last
            yield x.to(self.device, memory_format=layout, non_blocking=True), y.to(self.device)


def loaded(dataset: Any, workers: int, device: str, **options: Any) -> Iterator[Any]:
    """The batches of a torch data set, made by `workers` processes (0: by this one)."""
    with warnings.catch_warnings():  # more processes than cores is the user's choice
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = torch.utils.data.DataLoader(
            dataset,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
            generator=torch.Generator(),  # or it would draw from the global one
            pin_memory=device.startswith("cuda"),
            **options,
        )
        return iter(loader)


def _collated(items: list[Any]) -> Batch | str:
    errors = [item for item in items if isinstance(item, str)]
    if errors:
        return errors[0]
    images, labels = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(labels)
