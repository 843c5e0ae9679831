"""Labelled images: a data set, its parts, and how they are split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from space.common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Ints = NDArray[np.int64]
# What Pillow turns into RGB without a loss that anyone would miss; I;16, F and others are not.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled images. `labels`: int64 [n], indices of the data set's classes. `load(i)` decodes
    image i; `name(i)` says which it is. `key` changes when the content does."""

    labels: Ints
    load: Callable[[int], Image]
    name: Callable[[int], str]
    key: str

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        """Image `index` in RGB.

        Raises:
            DataError: it is damaged, truncated or not a colour or grey image; names the file.
        """
        try:
            with self.load(index) as image:
                image.load()
                if image.mode in MODES:
                    # A palette may have transparency, which is dropped from RGBA alone.
                    whole = image.convert("RGBA") if image.mode == "P" else image
                    return whole.convert("RGB")
                mode = image.mode
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise DataError(
                f"{self.name(index)} cannot be read as an image: {error}. Repair or remove it"
            ) from None
        raise DataError(
            f"{self.name(index)} must be an 8-bit grey or colour image; got mode {mode}. "
            "Convert it to RGB"
        )

    def subset(self, indices: Ints) -> Part:
        """The images at `indices`, in that order."""
        digest = hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16]
        return Part(
            self.labels[indices],
            lambda i: self.load(int(indices[i])),
            lambda i: self.name(int(indices[i])),
            f"{self.key}-{digest}",
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: `name` as the user gave it, classes in the order of their labels, two parts, and
    in `split` how the parts were told apart."""

    name: str
    classes: tuple[str, ...]
    train: Part
    test: Part
    split: str

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
        return digest([list(self.classes), self.train.key, self.test.key, self.split])


def digest(value: Any) -> str:
    """A short hash of something that JSON holds."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def class_names(labels: Sequence[Any]) -> tuple[tuple[str, ...], Ints]:
    """Names and integer labels of what a column holds: integers stay what they are."""
    values = np.asarray(labels)
    if values.dtype.kind in "iu":
        top = int(values.max()) if values.size else -1
        return tuple(str(i) for i in range(top + 1)), values.astype(np.int64)
    names, found = np.unique(values.astype(str), return_inverse=True)
    return tuple(str(name) for name in names), found.astype(np.int64)


def split(part: Part, classes: int, *, seed: int, held_out: float) -> tuple[Part, Part, str]:
    """(training part, test part, what was done): a seeded share of each class is set aside."""
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
    told = f"{held_out:.0%} of each class held out, seed {seed}"
    return part.subset(rest), part.subset(chosen), told


def subset(part: Part, images: int, *, seed: int) -> Part:
    """A seeded subset of `images` images, as many of each class as it can be; all for 0."""
    if not images or images >= len(part):
        return part
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(part))
    labels = part.labels[order]
    rank = np.empty(len(part), dtype=np.int64)  # the how-manieth of its class, in `order`
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    kept = order[np.argsort(rank, kind="stable")[:images]]
    return part.subset(np.sort(kept))
