"""Options of the commands that train: each is written once, with its help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from evaluator.training.recipe import CHOICES, OPTIONS, RECIPES, Recipe, named_recipe

HELP = {
    "epochs": "instead of the recipe's",
    "steps": "optimizer steps, instead of epochs",
    "batch": "images a step",
    "lr": "highest learning rate",
    "weight_decay": "of weights",
    "input": "side of the input in pixels, or HEIGHTxWIDTH",
    "drop": "halvings of the network to leave out: 2 up to 64 pixels, else 0",
    "images": "train on a seeded subset of this many",
    "label_smoothing": "share of the label spread over all classes",
    "schedule": "how the learning rate falls: linear or cosine",
    "warmup": "share of the steps over which the learning rate rises",
    "clip": "largest norm of the gradients; 0: any",
    "decay": "what weight decay is of: weights, or all (batch norms and biases too)",
    "augment": "flip, crop (shifted) or scale (resized); +trivial: TrivialAugment too",
    "mixup": "alpha of mixup; 0: none",
    "cutmix": "alpha of CutMix; with mixup too, each batch draws one; 0: none",
    "erase": "share of the images from which random erasing takes a part",
}


Group = argparse.ArgumentParser | argparse._ArgumentGroup


def add_recipe_choice(group: Group, *, default: str | None = None) -> None:
    """Add --recipe. `default`: its value if the user does not type it."""
    group.add_argument("--recipe", default=default, choices=list(RECIPES), help="default: short")


def add_recipe_options(group: Group, *, processes: bool = False) -> None:
    """Add the options that change a recipe; each is None if the user does not type it.

    Args:
        processes: whether the command runs under torchrun, which shares a batch.
    """
    for name, kind in OPTIONS.items():
        shared = ", over all processes" if processes and name == "batch" else ""
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            choices=CHOICES.get(name),
            metavar=None if kind is not str or name not in CHOICES else name.upper(),
            help=HELP[name] + shared,
        )


def add_device_option(group: Group, *, default: str | None = None) -> None:
    """Add --device. `default`: its value if the user does not type it."""
    group.add_argument("--device", default=default, help="auto, cpu, cuda; default: auto")


def add_threads_option(group: Group) -> None:
    """Add --threads."""
    group.add_argument("--threads", type=int, help="of the processor; default: torch's own")


def chosen_recipe(values: Mapping[str, Any]) -> Recipe:
    """The recipe that the options of a command describe.

    Args:
        values: of --recipe, of `OPTIONS` and maybe of --ema and --channels, by name with
            underscores; None where the user did not type it.

    Raises:
        ValueError: a value is out of its range.
    """
    options = {name: values[name] for name in OPTIONS}
    options |= {name: values.get(name) for name in ("ema", "channels")}
    return named_recipe(values["recipe"] or "short", **options)
