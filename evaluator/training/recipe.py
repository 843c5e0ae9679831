"""Recipes: how a network is trained, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from space.common.cli import check_range
from space.common.schema import Flag, Integer, Maybe, Number, Record, Text, check
from space.common.text import shorten

# Fields whose name in files and options differs.
STORED = {"skipped_strides": "drop"}
NOT_STORED = {"width": None, "channels": 3}
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
        "augment": Text(choices=("flip", "crop", "scale")),
        "drop": Maybe(Integer(0, 2)),
        "images": Integer(0, 1_000_000_000),
        "width": Maybe(Integer(8, 4096)),
        "channels": Integer(1, 3),
    },
    required=("name", "input", "batch", "lr", "weight_decay"),
    open=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with momentum. The learning rate rises linearly to `lr` over
    the first `warmup` of the steps, then falls linearly to 0.

    Args:
        input: side of the images in pixels; their height, if `width` is another.
        batch: images a step, over all processes.
        steps: optimizer steps in all; 0: `epochs` times the data.
        decay_norm: weight decay on batch norms and biases too.
        ema: decay of the averaged weights a step; 0: none.
        clip: largest norm of all gradients together; 0: any.
        augment: "flip", "crop" (flip, and a crop shifted by up to an eighth of the side) or
            "scale" (flip, and a crop of a random area and aspect ratio, resized).
        skipped_strides: how many of the network's strides of 2 become 1, as in
            `space.network.resize`; None: by the size of the input.
        images: train on a seeded subset of this many, as many of each class; 0: on all.
        width: of the images in pixels; None: as their height.
        channels: 3 for colour, 1 for grey.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> from evaluator.training.recipe import SHORT
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
        return (total - step) / (total - rise)

    def record(self) -> dict[str, Any]:
        """The recipe for files; `from_record` reads it. Fields that square images in colour do
        not need are left out, as earlier versions did not know them."""
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
        return cls(**_by_field(check(record, SPEC)))

    def changed(self, **options: Any) -> Recipe:
        """The recipe with the options that are not None."""
        return replace(self, **{k: v for k, v in options.items() if v is not None})


# SGD, batch 1024, 300k iterations, lr 0.5 decayed linearly to 0, weight decay 4e-5: ShuffleNet v1
# paper, section 4, which the v2 paper's section 4 refers to. Momentum 0.9 as in the authors'
# released code; neither paper states it. "Slightly less aggressive scale augmentation" than area
# 0.08 to 1 is all that the paper states: here 0.25 to 1.
PAPER = Recipe(
    name="paper",
    input=224,
    batch=1024,
    steps=300_000,
    lr=0.5,
    weight_decay=4e-5,
    augment="scale",
)
# With few classes the classifier's curvature is large: about |features|^2 p (1 - p), 15 for 1024
# features and 10 classes, and Nesterov's step is stable up to 1.4 / that. Without the clip a rise
# to 0.2 within 24 steps left ShuffleNet v2 0.5x at a loss of log 10 for good
# (docs/results/training.md).
SHORT = Recipe(
    name="short",
    input=32,
    batch=128,
    epochs=10,
    lr=0.2,
    weight_decay=5e-4,
    nesterov=True,
    warmup=0.2,
    decay_norm=False,
    clip=1.0,
    augment="crop",
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, SHORT)}

# The options that change a recipe, by their name in files.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "epochs": float,
    "steps": int,
    "batch": int,
    "lr": float,
    "weight_decay": float,
    "input": str,  # as `input_size` reads it
    "drop": int,
    "images": int,
    "label_smoothing": float,
}
# Their ranges where a user gives them: there is no 0 for "not given".
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (0.001, 1_000_000),
    "steps": (1, 100_000_000),
    "batch": (2, 65_536),
    "lr": (1e-12, 1000),
    "weight_decay": (0, 1),
    "input": (8, 4096),
    "drop": (0, 2),
    "images": (2, 1_000_000_000),
    "label_smoothing": (0, 0.9999),
    "ema": (0, 0.999999),
}


def input_size(text: str) -> int | tuple[int, int]:
    """The side of square images, or (height, width) of HEIGHTxWIDTH; both from 8 to 4096."""
    sides = text.split("x")
    if len(sides) > 2 or not all(re.fullmatch(r"-?\d{1,20}", side, re.ASCII) for side in sides):
        raise ValueError(f"--input must be a side or HEIGHTxWIDTH in pixels; got {shorten(text)}")
    height, width = int(sides[0]), int(sides[-1])
    return height if height == width else (height, width)


def check_options(values: Mapping[str, Any]) -> None:
    """The ranges of what a training takes beside its recipe.

    Args:
        values: `seed`, `threads`, `workers`, `held_out` and `save_every`; None: not given.

    Raises:
        ValueError: a value is out of its range.
    """
    own = {"held_out": (0.0001, 0.9999), "save_every": (0, 1_000_000_000)}
    check_range(values, "seed", "threads", "workers", **own)


def named_recipe(name: str, **options: Any) -> Recipe:
    """A recipe of `RECIPES`, with options changed that are not None.

    Args:
        options: values by their name in files; `epochs` replaces the recipe's steps, and `steps`
            its epochs.

    Raises:
        ValueError: there is no recipe of this name, or a value is out of its range.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}")
    if isinstance(text := options.get("input"), str):
        options["input"] = input_size(text)
    if isinstance(sides := options.get("input"), tuple):
        options["input"], options["width"] = sides
        check_range({"input": sides[1]}, input=RANGES["input"])
    check_range(options, **{name: RANGES[name] for name in options if name in RANGES})
    if options.get("epochs") is not None and options.get("steps") is None:
        options["steps"] = 0
    return RECIPES[name].changed(**_by_field(options))


def _by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {stored: name for name, stored in STORED.items()}
    return {fields.get(name, name): value for name, value in values.items()}
