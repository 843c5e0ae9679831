"""What a search trains: the options of a user, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluator.training.recipe import OPTIONS, Recipe, named_recipe

LABELS, SEEDS = 50, 3
LEAST_LABELS = 10  # a predictor is fitted on no fewer (`evaluator.predictor`)
# In the order of a recorded command. `labels_from` alone has a meaning without images.
ORDER = (
    "data", "labels_from", "labels", "recipe", "seeds", "retrain_epochs", "device", "threads",
    "no_prune",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """The accuracy options of a search; None: not given, so the default of `label_config`.

    Args:
        data: images, as `evaluator.open_data` takes them. Without them nothing is trained.
        labels: networks to train first; 0: none, the closed form stays the score.
        labels_from: rows of `evaluator.measured` in place of labels, or "shipped".
        recipe: name of the recipe. `recipe_options`: changes to it, as {"epochs": 2}.
        seeds: trainings of each winner. `retrain_epochs`: their epochs.
        device: auto, cpu or cuda. `threads`: of the processor.
        no_prune: train every label to its end.
    """

    data: str | None = None
    labels: int | None = None
    labels_from: str | None = None
    recipe: str | None = None
    recipe_options: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | None = None
    retrain_epochs: float | None = None
    device: str | None = None
    threads: int | None = None
    no_prune: bool = False

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What a search trains, every value decided. `recipe` trains the labels, `final` the winners
    and the baseline. `labels` is 0 where `labels_from` names a file of them."""

    data: str
    labels: int
    labels_from: str | None
    recipe: Recipe
    final: Recipe
    seeds: int
    prune: bool
    device: str
    threads: int | None


def label_config(options: LabelOptions) -> LabelConfig | None:
    """What the options ask for; None without images.

    Raises:
        ValueError: a bad value, or an option that means nothing without images.
    """
    if options.data is None:
        unused = [word for word in options.words() if word.startswith("--")]
        unused = [word for word in unused if word != "--labels-from"]
        if unused:
            raise ValueError(
                f"{', '.join(unused)} needs --data: without images nothing is trained"
            )
        return None
    if options.labels is not None and options.labels_from is not None:
        raise ValueError("--labels and --labels-from exclude each other: train them or read them")
    labels = options.labels
    if labels is None:
        labels = LABELS if options.labels_from is None else 0
    seeds = SEEDS if options.seeds is None else options.seeds
    if labels < LEAST_LABELS and labels != 0:
        raise ValueError(f"--labels must be at least {LEAST_LABELS}, or 0 for none; got {labels}")
    for name, value in (("seeds", seeds), ("threads", options.threads)):
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1; got {value}")
    used = named_recipe(options.recipe or "short", **options.recipe_options)
    final = used
    if options.retrain_epochs is not None:
        if not options.retrain_epochs > 0:
            raise ValueError(f"--retrain-epochs must be above 0; got {options.retrain_epochs}")
        final = used.changed(epochs=options.retrain_epochs, steps=0)
    return LabelConfig(
        data=options.data,
        labels=labels,
        labels_from=options.labels_from,
        recipe=used,
        final=final,
        seeds=seeds,
        prune=not options.no_prune,
        device=options.device or "auto",
        threads=options.threads,
    )
