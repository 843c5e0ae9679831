"""The words of `search.run` that ask for labels: data, how many, and how a network is trained."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from evaluator.training.recipe import OPTIONS, RECIPES, Recipe, recipe

LABELS, SEEDS = 50, 3
LEAST_LABELS = 10  # a predictor is fitted on no fewer (`evaluator.predictor`)
HELP = {
    "epochs": "instead of the recipe's",
    "steps": "optimizer steps, instead of epochs",
    "batch": "images a step",
    "lr": "highest learning rate",
    "weight_decay": "of weights",
    "input": "side of the input in pixels",
    "drop": "halvings of the network to leave out: 2 up to 64 pixels, else 0",
    "images": "train on a seeded subset of this many",
    "label_smoothing": "share of the label spread over all classes",
}
# Left at None: given or not must be told apart, as they mean nothing without --data.
ALONE = "labels_from"  # means something without --data too
OWN = ("labels", "recipe", "seeds", "retrain_epochs", "device", "threads", "no_prune")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of `search.run`."""
    group = parser.add_argument_group(
        "accuracy",
        "With --data some networks are trained for a short time, a predictor is fitted on what "
        "they reach and becomes the score, and the winners and the baseline are trained alike. "
        "The options of a training are those of evaluator.train.",
    )
    group.add_argument(
        "--data", help="images, as evaluator.train takes them; without it the score is a score"
    )
    group.add_argument(
        "--labels",
        type=int,
        metavar="N",
        help=f"networks to train first; 0: none, the closed form stays the score and only the "
        f"answer is trained; default: {LABELS}",
    )
    group.add_argument(
        "--labels-from",
        metavar="FILE",
        help="rows of evaluator.measured in place of labels ('shipped': those of this package), "
        "which make the score without --data too",
    )
    group.add_argument("--recipe", choices=list(RECIPES), help="default: short")
    for name, kind in OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=HELP[name])
    group.add_argument(
        "--seeds", type=int, metavar="N", help=f"trainings of each winner; default: {SEEDS}"
    )
    group.add_argument(
        "--retrain-epochs", type=float, metavar="E", help="of these; default: as for the labels"
    )
    group.add_argument("--no-prune", action="store_true", help="train every label to its end")
    group.add_argument("--device", help="auto, cpu, cuda; default: auto")
    group.add_argument("--threads", type=int, help="of the processor; default: torch's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What was asked for. `labels`: how many to train; none if `labels_from` names a file of
    them. `recipe` trains them, `again` the winners
    and the baseline."""

    data: str
    labels: int
    labels_from: str | None
    recipe: Recipe
    again: Recipe
    seeds: int
    prune: bool
    device: str
    threads: int | None


def label_config(args: argparse.Namespace) -> LabelConfig | None:
    """What the options ask for; None without --data.

    Raises:
        ValueError: a bad value, or an option that means nothing without --data.
    """
    given = [name for name in (*OWN, *OPTIONS) if _given(getattr(args, name))]
    if args.data is None:
        if given:
            told = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"{told} needs --data: without images nothing is trained")
        return None
    if args.labels is not None and args.labels_from is not None:
        raise ValueError("--labels and --labels-from exclude each other: train them or read them")
    labels, seeds = args.labels, args.seeds
    if labels is None:
        labels = LABELS if args.labels_from is None else 0
    seeds = SEEDS if seeds is None else seeds
    for name, value, least in (
        ("labels", labels, LEAST_LABELS),
        ("seeds", seeds, 1),
        ("threads", args.threads, 1),
    ):
        none = name == "labels"
        if value is not None and value < least and not (none and value == 0):
            zero = ", or 0 for none" if none else ""
            raise ValueError(f"--{name} must be at least {least}{zero}; got {value}")
    used = recipe(args.recipe or "short", **{name: getattr(args, name) for name in OPTIONS})
    again = used
    if args.retrain_epochs is not None:
        if not args.retrain_epochs > 0:
            raise ValueError(f"--retrain-epochs must be above 0; got {args.retrain_epochs}")
        again = used.changed(epochs=args.retrain_epochs, steps=0)
    return LabelConfig(
        data=args.data,
        labels=labels,
        labels_from=args.labels_from,
        recipe=used,
        again=again,
        seeds=seeds,
        prune=not args.no_prune,
        device=args.device or "auto",
        threads=args.threads,
    )


def _given(value: Any) -> bool:
    """Whether an option was given; 0 is a value."""
    return value is not None and value is not False


def words(args: argparse.Namespace) -> list[str]:
    """The options as they were given, for the command in a record."""
    found: list[str] = []
    for name in ("data", ALONE, *OWN, *OPTIONS):
        value: Any = getattr(args, name)
        if value is True:
            found.append(f"--{name.replace('_', '-')}")
        elif _given(value):
            found += [f"--{name.replace('_', '-')}", str(value)]
    return found
