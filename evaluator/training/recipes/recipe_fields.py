"""What a recipe consists of, and how a file holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from space.common.schema import Flag, Integer, Maybe, Number, Record, Text, check

GEOMETRIES = ("flip", "crop", "scale")
TRIVIAL = "+trivial"
AUGMENTS = (*GEOMETRIES, *(geometry + TRIVIAL for geometry in GEOMETRIES))
SCHEDULES = ("linear", "cosine")
# Fields whose name in files and options differs.
STORED = {"skipped_strides": "drop"}
# Fields that earlier versions did not know, with the value that they had then without a name:
# records of recipes without them stay as they were, byte for byte.
NOT_STORED: dict[str, Any] = {
    "width": None,
    "channels": 3,
    "schedule": "linear",
    "mixup": 0.0,
    "cutmix": 0.0,
    "erase": 0.0,
}
# What must hold of a recipe's `record`. The largest values are beyond any use.
SPEC = Record(
    {
        "name": Text(longest=100),
        "input": Integer(8, 4096),
        "batch": Integer(2, 65_536),  # batch norm has no variance of one image
        "lr": Number(1e-12, 1000),
        "weight_decay": Number(0, 1),
        "steps": Integer(0, 100_000_000),
        "epochs": Number(0, 1_000_000),
        "momentum": Number(0, 0.9999),
        "nesterov": Flag(),
        "warmup": Number(0, 0.9999),
        "decay_norm": Flag(),
        "label_smoothing": Number(0, 0.9999),
        "ema": Number(0, 0.999999),
        "clip": Number(0),
        "augment": Text(choices=AUGMENTS),
        "drop": Maybe(Integer(0, 2)),
        "images": Integer(0, 1_000_000_000),
        "width": Maybe(Integer(8, 4096)),
        "channels": Integer(1, 3),
        "schedule": Text(choices=SCHEDULES),
        "mixup": Number(0, 100),
        "cutmix": Number(0, 100),
        "erase": Number(0, 1),
    },
    required=("name", "input", "batch", "lr", "weight_decay"),
    open=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with momentum. The learning rate rises linearly to `lr` over
    the first `warmup` of the steps, then falls to 0: linearly, or as half a cosine.

    Args:
        input: side of the images in pixels; their height, if `width` is another.
        batch: images a step, over all processes.
        steps: optimizer steps in all; 0: `epochs` times the data.
        decay_norm: weight decay on batch norms and biases too.
        ema: decay of the averaged weights a step; 0: none.
        clip: largest norm of all gradients together; 0: any.
        augment: "flip", "crop" (flip, and a crop shifted by up to an eighth of the side) or
            "scale" (flip, and a crop of a random area and aspect ratio, resized); each with
            "+trivial" behind it for TrivialAugment too.
        skipped_strides: how many of the network's strides of 2 become 1, as in
            `space.network.resize`; None: by the size of the input.
        images: train on a seeded subset of this many, as many of each class; 0: on all.
        width: of the images in pixels; None: as their height.
        channels: 3 for colour, 1 for grey.
        schedule: how the learning rate falls, "linear" or "cosine".
        mixup: alpha of mixup; 0: none. `cutmix`: of CutMix. With both, each batch draws one.
        erase: the share of the images that random erasing takes a rectangle from.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> from evaluator.training.recipes.recipe import SHORT
        >>> recipe = SHORT.changed(epochs=2, batch=64)
        >>> recipe.total_steps(images=1000)
        30
        >>> [round(recipe.lr_factor(step, total=30), 2) for step in (0, 5, 6, 29)]
        [0.17, 1.0, 1.0, 0.04]
    """

    name: str
    input: int
    batch: int
    lr: float
    weight_decay: float
    steps: int = 0
    epochs: float = 0
    momentum: float = 0.9
    nesterov: bool = False
    warmup: float = 0.0
    decay_norm: bool = True
    label_smoothing: float = 0.0
    ema: float = 0.0
    clip: float = 0.0
    augment: str = "crop"
    skipped_strides: int | None = None
    images: int = 0
    width: int | None = None
    channels: int = 3
    schedule: str = "linear"
    mixup: float = 0.0
    cutmix: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        check(self.record(), SPEC)
        if self.channels == 2:
            raise ValueError("`channels` must be 3 for colour or 1 for grey; got 2")
        if self.nesterov and not self.momentum:
            raise ValueError("`momentum` must be above 0 for `nesterov`; got 0")
        if not self.steps and not self.epochs:
            raise ValueError("a recipe must have `steps` or `epochs`; got neither")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return self.input, self.width or self.input

    @property
    def geometry(self) -> str:
        """`augment` without TrivialAugment: "flip", "crop" or "scale"."""
        return self.augment.removesuffix(TRIVIAL)

    @property
    def trivial(self) -> bool:
        """Whether there is TrivialAugment."""
        return self.augment.endswith(TRIVIAL)

    @property
    def parts(self) -> tuple[str, ...]:
        """What the recipe has beside shifts, crops and flips, for people."""
        named = {
            "cosine": self.schedule == "cosine",
            "TrivialAugment": self.trivial,
            f"random erasing {self.erase:g}": self.erase,
            f"mixup {self.mixup:g}": self.mixup,
            f"CutMix {self.cutmix:g}": self.cutmix,
            f"label smoothing {self.label_smoothing:g}": self.label_smoothing,
            f"averaged weights {self.ema:g}": self.ema,
        }
        return tuple(name for name, present in named.items() if present)

    def total_steps(self, images: int) -> int:
        """Optimizer steps on this many images; an epoch leaves out those that fill no batch."""
        return self.steps or max(1, round(self.epochs * self.steps_per_epoch(images)))

    def steps_per_epoch(self, images: int) -> int:
        return max(1, images // self.batch)

    def lr_factor(self, step: int, total: int) -> float:
        """The factor of `lr` at a step, from 0: in 0..1, and 0 after the last of `total`."""
        rise = round(self.warmup * total)
        if step < rise:
            return (step + 1) / rise
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - rise) / (total - rise))) / 2
        return (total - step) / (total - rise)

    def record(self) -> dict[str, Any]:
        """The recipe for files; `from_record` reads it. Fields that earlier versions did not know
        are left out where the recipe does not need them."""
        return {
            STORED.get(name, name): value
            for name, value in asdict(self).items()
            if NOT_STORED.get(name, ...) != value
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Recipe:
        """The recipe of a `record`.

        Raises:
            ValueError: a field is missing or unknown, or a value is of another type or out of its
                range.
        """
        return cls(**by_field(check(record, SPEC)))

    def changed(self, **options: Any) -> Recipe:
        """The recipe with the options that are not None."""
        return replace(self, **{k: v for k, v in options.items() if v is not None})


def by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the names of `Recipe`'s fields, from values by their names in files."""
    fields = {stored: name for name, stored in STORED.items()}
    return {fields.get(name, name): value for name, value in values.items()}
