"""Labelled images: a data set, its parts, and how they are split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluator.data.image import to_rgb
from space.common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled images. `labels`: int64 [n], indices of the data set's classes. `load(i)` opens
    image i; `name(i)` is its name in messages. `key` changes when the content does, and is the
    same for a copy of the files; `stamp` is of these very files, for what is cached of them."""

    labels: Ints
    load: Callable[[int], Image]
    name: Callable[[int], str]
    key: str
    stamp: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        """Image `index` in RGB, turned as its EXIF data say; the first of several frames.

        Raises:
            DataError: it is damaged, truncated or not a colour or grey image; names the file.
        """
        return to_rgb(lambda: self.load(index), self.name(index))

    def subset(self, indices: Ints) -> Part:
        """The images at `indices`, in that order."""
        digest = hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16]
        return Part(
            self.labels[indices],
            lambda i: self.load(int(indices[i])),
            lambda i: self.name(int(indices[i])),
            f"{self.key}-{digest}",
            self.stamp,
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set to train and test on. `name`: as the user typed it; `classes`: by label; `parts`:
    where the test part comes from; `notes`: what else the user must know, as what is left out.

    Raises:
        DataError: it has fewer than 2 classes, an empty part, or a label without a class.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part
    parts: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            found = ", ".join(self.classes) or "none"
            raise DataError(f"{self.name} must have at least 2 classes; got {found}")
        for what, part in (("training", self.train), ("test", self.test)):
            if not len(part):
                raise DataError(f"{self.name} has no {what} images")
            if part.labels.min() < 0 or part.labels.max() >= len(self.classes):
                raise DataError(
                    f"labels of {self.name} must be in 0..{len(self.classes) - 1}; got "
                    f"{part.labels.min()} to {part.labels.max()} in its {what} part"
                )

    @property
    def key(self) -> str:
        """Changes when the images, their labels or the split do."""
        return digest([list(self.classes), self.train.key, self.test.key, self.parts])

    @property
    def split(self) -> str:
        """Where the parts come from, and the notes, on one line."""
        return "; ".join([self.parts, *self.notes])


@dataclass(frozen=True, eq=False)
class ReadParts:
    """The parts that a reader finds. `test`: None if the source has none; `split`: how the source
    separates them; `notes`: as of a `Dataset`."""

    classes: tuple[str, ...]
    train: Part
    test: Part | None = None
    split: str = ""
    notes: tuple[str, ...] = ()


def digest(value: Any) -> str:
    """A short hash of something that JSON holds."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def split(part: Part, classes: int, *, seed: int, held_out: float) -> tuple[Part, Part, str]:
    """(the rest, the part held out, a description): a seeded share of each class is held out.

    Raises:
        ValueError: the share is not in 0..1.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"the share held out must be in 0..1; got {held_out}")
    rng = np.random.default_rng(seed)
    away: list[Ints] = []
    for label in range(classes):
        members = np.flatnonzero(part.labels == label)
        count = min(max(1, round(held_out * len(members))), len(members) - 1)
        if count > 0:
            away.append(rng.permutation(members)[:count])
    chosen = np.sort(np.concatenate(away)) if away else np.zeros(0, dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(part)), chosen)
    how = f"{held_out:.0%} of each class held out, seed {seed}"
    return part.subset(rest), part.subset(chosen), how


def subset(part: Part, images: int, *, seed: int) -> Part:
    """A seeded subset of `images` images, as many of each class as it can be; all for 0."""
    if not images or images >= len(part):
        return part
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(part))
    labels = part.labels[order]
    rank = np.empty(len(part), dtype=np.int64)  # position within its class, in `order`
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.sum(labels == label))
    chosen = order[np.argsort(rank, kind="stable")[:images]]
    return part.subset(np.sort(chosen))
