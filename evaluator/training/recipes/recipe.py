"""Recipes: how a network is trained, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from evaluator.training.recipes.recipe_fields import AUGMENTS, SCHEDULES, SPEC, Recipe, by_field
from space.common.cli import check_range
from space.common.text import shorten

__all__ = [
    "CHOICES", "MODERN", "MODERN_SMALL", "OPTIONS", "PAPER", "RANGES", "RECIPES", "SHORT", "SPEC",
    "Recipe", "check_options", "input_size", "named_recipe",
]  # fmt: skip

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
# torchvision's recipe of 2021, which its ShuffleNet v2 1.5x and 2x were trained with (PyTorch
# blog, "How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives"; pull request
# 5906 of pytorch/vision): five of its 600 epochs are the rise, no decay of batch norms. Its decay
# of the average, 0.99998 times the images of 32 steps over the epochs, is 0.99997 a step. Not
# taken: crops of 176 pixels of an area from 0.08 (`PAPER` has the reason), and four augmented
# copies of an image within a batch.
MODERN = Recipe(
    name="modern",
    input=224,
    batch=1024,
    epochs=600,
    lr=0.5,
    weight_decay=2e-5,
    warmup=5 / 600,
    decay_norm=False,
    label_smoothing=0.1,
    ema=0.99997,
    augment="scale+trivial",
    schedule="cosine",
    mixup=0.2,
    cutmix=1.0,
    erase=0.1,
)
# Batch, rate, weight decay, Nesterov and 200 epochs as for Wide ResNets on CIFAR (Zagoruyko and
# Komodakis 2016, section 3), the cosine as AutoAugment has it there. A crop of a random area would
# leave few of 32 pixels, so images are shifted. The clip and the rise are for few classes, as in
# `SHORT`. Nothing here was tuned.
MODERN_SMALL = MODERN.changed(
    name="modern-small",
    input=32,
    batch=128,
    epochs=200.0,
    lr=0.1,
    weight_decay=5e-4,
    nesterov=True,
    warmup=5 / 200,
    clip=1.0,
    ema=0.999,
    augment="crop+trivial",
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, SHORT, MODERN, MODERN_SMALL)}

DECAYS = {"weights": False, "all": True}  # what weight decay is of -> `decay_norm`

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
    "schedule": str,
    "warmup": float,
    "clip": float,
    "decay": str,
    "augment": str,
    "mixup": float,
    "cutmix": float,
    "erase": float,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": SCHEDULES,
    "decay": tuple(DECAYS),
    "augment": AUGMENTS,
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
    "warmup": (0, 0.9999),
    "clip": (0, 1_000_000),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "erase": (0, 1),
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
    for option, choices in CHOICES.items():
        if (choice := options.get(option)) is not None and choice not in choices:
            known = ", ".join(choices)
            raise ValueError(f"--{option} must be one of {known}; got {shorten(choice)}")
    if (decay := options.pop("decay", None)) is not None:
        options["decay_norm"] = DECAYS[decay]
    if options.get("epochs") is not None and options.get("steps") is None:
        options["steps"] = 0
    return RECIPES[name].changed(**by_field(options))
