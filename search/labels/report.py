"""What trained accuracies are, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search.labels.pipeline import Accuracies, LabelPipeline
from search.labels.score import ScoreComparison
from search.labels.store import FILE


def trained_record(pipeline: LabelPipeline, comparison: ScoreComparison | None) -> dict[str, Any]:
    """For winners.json: how accuracies were measured, and how the labels came about."""
    final, source = pipeline.final, pipeline.config.options.labels_from
    labels: dict[str, Any] = {} if comparison is None else comparison.record()
    if source is not None:
        labels["file"] = Path(source).name
    elif not pipeline.config.labels:
        labels |= {"labels": 0, "score": "closed form"}
    else:
        labels |= {
            "recipe": pipeline.labels.recipe.record(),
            "images": [len(pipeline.labels.train), len(pipeline.labels.test)],
            "seed": pipeline.seed,
            "file": FILE,
        }
    return {
        "source": "measured",
        "data": final.data.name,
        "classes": list(final.data.classes),
        "device": final.device,
        "recipe": final.recipe.record(),
        "images": [len(final.train), len(final.test)],
        "seeds": list(pipeline.seeds),
        "labels": labels,
    }


def accuracy_lines(
    pipeline: LabelPipeline, accuracies: Mapping[str, Accuracies], base: str | None
) -> tuple[str, ...]:
    """What the accuracies are, and each network against the one named `base`."""
    final = pipeline.final
    recipe, images = final.recipe, len(final.train)
    seeds = pipeline.seeds
    over = f"mean and deviation over seeds {', '.join(map(str, seeds))}"
    if len(seeds) == 1:
        over = f"seed {seeds[0]} alone, so of unknown spread"
    epochs = recipe.total_steps(images) / recipe.steps_per_epoch(images)
    lines = [
        f"accuracy: measured on {len(final.test)} test images of {final.data.name} "
        f"after {epochs:g} epochs of {images} images at "
        f"{'x'.join(map(str, recipe.size))}; {over}; all trained alike"
    ]
    values = {name: np.array([value for _, value in each]) for name, each in accuracies.items()}
    base_values = values.pop(base) if base is not None else np.zeros(0)
    for name, own in values.items() if base is not None else ():
        difference = own.mean() - base_values.mean()
        error = ""
        if len(seeds) > 1:
            variance = own.var(ddof=1) + base_values.var(ddof=1)
            error = f" +- {np.sqrt(variance / len(seeds)):.2f}"
        lines.append(f"{name}: {difference:+.2f}{error} points of accuracy against {base}")
    return tuple(lines)
