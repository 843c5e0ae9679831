"""What trained accuracies are, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search.labels.pipeline import Accuracies, LabelPipeline
from search.labels.score import ScoreComparison
from search.labels.store import FILE


def predicted_record(comparison: ScoreComparison, source: str) -> dict[str, Any]:
    """For winners.json, where labels from the file `source` make the score and nothing is
    trained."""
    labels = {**comparison.record(), "file": Path(source).name}
    return {"source": "predicted", "labels": labels}


def trained_record(
    pipeline: LabelPipeline, comparison: ScoreComparison | None, accuracies: Accuracies
) -> dict[str, Any]:
    """For winners.json: how accuracies were measured. `accuracies`: of one of the networks."""
    final = pipeline.final
    return {
        "source": "measured",
        "data": final.data.name,
        "classes": list(final.data.classes),
        "device": final.device,
        "recipe": final.recipe.record(),
        "images": [len(final.train), len(final.test)],
        "seeds": [seed for seed, _ in accuracies],
        "labels": {**(comparison.record() if comparison else {}), **_labels(pipeline)},
    }


def _labels(pipeline: LabelPipeline) -> dict[str, Any]:
    """How the labels came about."""
    if pipeline.config.options.labels_from is not None:
        return {"file": Path(pipeline.config.options.labels_from).name}
    if not pipeline.config.labels:
        return {"labels": 0, "score": "closed form"}
    return {
        "recipe": pipeline.labels.recipe.record(),
        "images": [len(pipeline.labels.train), len(pipeline.labels.test)],
        "seed": pipeline.seed,
        "file": FILE,
    }


def accuracy_lines(
    pipeline: LabelPipeline, accuracies: Mapping[str, Accuracies], base: str | None
) -> tuple[str, ...]:
    """What the accuracies are, and each network against the one named `base`."""
    final = pipeline.final
    recipe, images = final.recipe, len(final.train)
    seeds = [str(seed) for seed, _ in next(iter(accuracies.values()))]
    over = f"mean and deviation over seeds {', '.join(seeds)}"
    if len(seeds) == 1:
        over = f"seed {seeds[0]} alone, so of unknown spread"
    epochs = recipe.total_steps(images) / recipe.steps_per_epoch(images)
    lines = [
        f"accuracy: measured on {len(final.test)} test images of {final.data.name} "
        f"after {epochs:g} epochs of {images} images at {recipe.input}x"
        f"{recipe.input}; {over}; all trained alike"
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
