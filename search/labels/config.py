"""What a search trains: the options of a user, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from evaluator.training.recipes.recipe import OPTIONS, Recipe, named_recipe
from space.common.cli import check_range

LABELS, SEEDS = 50, 3
LEAST_LABELS = 10  # a predictor is fitted on no fewer (`evaluator.predictor`)
MOST_LABELS = 10_000  # beyond any use


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """The accuracy options of a search, in the order of a recorded command; None: the default of
    `label_config`.

    Args:
        data: images, as `evaluator.open_data` takes them. Without them nothing is trained.
        labels_from: rows of `evaluator.measured` instead of labels, or "shipped".
        labels: networks to train first; 0: none, the score without labels stays.
        recipe: name of the recipe.
        seeds: trainings of each winner.
        retrain_epochs: their epochs.
        device: auto, cpu or cuda.
        threads: of the processor.
        no_prune: train every label to its end.
        recipe_options: changes to the recipe, as {"epochs": 2}.
    """

    data: str | None = None
    labels_from: str | None = None
    labels: int | None = None
    recipe: str | None = None
    seeds: int | None = None
    retrain_epochs: float | None = None
    device: str | None = None
    threads: int | None = None
    no_prune: bool = False
    recipe_options: Mapping[str, Any] = field(default_factory=dict)

    def words(self) -> list[str]:
        """The options as a user types them, for the command in a record."""
        values = {name: getattr(self, name) for name in ORDER}
        values |= {name: self.recipe_options.get(name) for name in OPTIONS}
        found: list[str] = []
        for name, value in values.items():
            if value is None or value is False:  # 0 is a value
                continue
            found.append(f"--{name.replace('_', '-')}")
            if value is not True:
                found.append(str(value))
        return found


ORDER = tuple(each.name for each in fields(LabelOptions) if each.name != "recipe_options")


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """What a search trains on the images `data`. `recipe` trains the labels, `final` the winners
    and the baseline, `seeds` times each. `labels` is 0 if `options.labels_from` names a file."""

    options: LabelOptions
    data: str
    labels: int
    seeds: int
    recipe: Recipe
    final: Recipe


def label_config(options: LabelOptions) -> LabelConfig | None:
    """What the options ask for; None without images.

    Raises:
        ValueError: a bad value, or an option that means nothing without images.
    """
    labels = options.labels
    if labels is None:
        labels = LABELS if options.labels_from is None else 0
    if labels and not LEAST_LABELS <= labels <= MOST_LABELS:
        raise ValueError(
            f"--labels must be from {LEAST_LABELS} to {MOST_LABELS}, or 0 for none; got {labels}"
        )
    seeds = SEEDS if options.seeds is None else options.seeds
    epochs = options.retrain_epochs
    check_range(
        {"seeds": seeds, "threads": options.threads, "retrain_epochs": epochs},
        "seeds",
        "threads",
        retrain_epochs=(1e-6, 1_000_000),
    )
    recipe = final = named_recipe(options.recipe or "short", **options.recipe_options)
    if epochs is not None:
        final = recipe.changed(epochs=epochs, steps=0)
    if options.data is None:
        _check_unused(options)
        return None
    if options.labels is not None and options.labels_from is not None:
        raise ValueError("--labels and --labels-from exclude each other: train them or read them")
    return LabelConfig(options, options.data, labels, seeds, recipe, final)


def _check_unused(options: LabelOptions) -> None:
    words = options.words()
    unused = [word for word in words if word.startswith("--") and word != "--labels-from"]
    if unused:
        raise ValueError(f"{', '.join(unused)} needs --data: without images nothing is trained")
