"""Options of the commands that train: each is written once, with its help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.training.recipes.recipe import CHOICES, OPTIONS, RECIPES, Recipe, named_recipe
from evaluator.training.teachers.teacher_config import SHARE, TEMPERATURE, TeacherConfig

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
TEACHER_OPTIONS = ("teacher_weights", "teacher_input", "teacher_share", "temperature")

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


def add_teacher_options(parser: argparse.ArgumentParser) -> None:
    """Add --teacher and what belongs to it."""
    group = parser.add_argument_group(
        "teacher", "Learn from another network too: a share of the loss is the distance to it."
    )
    group.add_argument(
        "--teacher",
        metavar="NAME",
        help="a network of torchvision or timm, a .safetensors of evaluator.train, or an ONNX "
        "file",
    )
    group.add_argument(
        "--teacher-weights",
        type=Path,
        metavar="FILE",
        help="of a named teacher; default: those that its library has fetched",
    )
    group.add_argument(
        "--teacher-input", type=int, metavar="SIDE", help="default: as its weights were trained"
    )
    group.add_argument(
        "--teacher-share", type=float, metavar="A", help=f"of the loss; default: {SHARE:g}"
    )
    group.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help=f"that both networks' logits are divided by; default: {TEMPERATURE:g}",
    )


def chosen_teacher(values: Mapping[str, Any]) -> TeacherConfig | None:
    """The teacher that the options of a command describe; None: none.

    Raises:
        ValueError: a value is out of its range, or there is no teacher that it is for.
    """
    options = {name: values[name] for name in TEACHER_OPTIONS if values[name] is not None}
    fields = {name.removeprefix("teacher_"): value for name, value in options.items()}
    config = TeacherConfig(name=values["teacher"] or "", **fields)
    if values["teacher"] is not None:
        return config
    if options:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise ValueError(f"{words} needs --teacher")
    return None


def add_ema_option(group: Group) -> None:
    """Add --ema."""
    group.add_argument(
        "--ema",
        type=float,
        nargs="?",
        const=0.999,
        metavar="DECAY",
        help="average the weights over steps; 0: not; default decay: 0.999",
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
