"""Recipes: how a network is trained, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

# Fields whose name in files and options differs.
STORED = {"skipped_strides": "drop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD with momentum. The learning rate rises linearly to `lr` over
    the first `warmup` of the steps, then falls linearly to 0.

    Args:
        input: side of the images in pixels.
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

    def __post_init__(self) -> None:
        checks: tuple[tuple[str, bool, str], ...] = (
            ("input", self.input >= 8, "at least 8"),
            ("batch", self.batch >= 2, "at least 2, for batch norm"),
            ("lr", 0 < self.lr < 1e6, "above 0"),
            ("weight_decay", 0 <= self.weight_decay < 1, "in 0..1"),
            ("steps", self.steps >= 0, "at least 0"),
            ("epochs", 0 <= self.epochs < 1e9, "at least 0"),
            ("momentum", 0 <= self.momentum < 1, "in 0..1, below 1"),
            ("warmup", 0 <= self.warmup < 1, "in 0..1, below 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in 0..1, below 1"),
            ("ema", 0 <= self.ema < 1, "in 0..1, below 1"),
            ("clip", self.clip >= 0, "at least 0"),
            ("augment", self.augment in ("flip", "crop", "scale"), "flip, crop or scale"),
            ("skipped_strides", self.skipped_strides in (None, 0, 1, 2), "0, 1 or 2"),
            ("images", self.images >= 0, "at least 0"),
        )
        for name, holds, rule in checks:
            if not holds:
                stored = STORED.get(name, name)
                raise ValueError(f"`{stored}` must be {rule}; got {getattr(self, name)}")
        if not self.steps and not self.epochs:
            raise ValueError("a recipe must have `steps` or `epochs`; got neither")

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
        """The recipe for files; `from_record` reads it."""
        return {STORED.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Recipe:
        """The recipe of a `record`.

        Raises:
            TypeError: a field is missing or unknown.
            ValueError: a value is out of its range.
        """
        return cls(**_by_field(record))

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
    "input": int,
    "drop": int,
    "images": int,
    "label_smoothing": float,
}


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
    if options.get("epochs") is not None and options.get("steps") is None:
        options["steps"] = 0
    return RECIPES[name].changed(**_by_field(options))


def _by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {stored: name for name, stored in STORED.items()}
    return {fields.get(name, name): value for name, value in values.items()}
