"""Labels from a file: the trainings of a measured benchmark make the score.

It uses their accuracies on a part of the training images, so the test images stay unseen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluator.measured_benchmark.rows import SHIPPED, TrainingRow, read_rows
from search.labels.config import LEAST_LABELS
from search.labels.score import ScoreComparison, score_of
from search.problem.problem import CLOSED_FORM, Problem
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

RECIPE = "short"
OWN = "shipped"  # the benchmark that comes with the package


def score_from_benchmark(
    problem: Problem, source: str, folder: Path
) -> tuple[Problem, ScoreComparison]:
    """The problem with the score that ranks the labels in a file better, and how both rank them.

    Args:
        source: rows of `evaluator.measured`, or "shipped" for the ones of this package.
        folder: where the predictor is stored.

    Raises:
        ValueError: no benchmark, or too few of its networks are of this space.
    """
    path = SHIPPED if source == OWN else Path(source)
    if not path.is_file():
        raise ValueError(f"--labels-from must be rows of evaluator.measured; there is no {path}")
    found = labelled_architectures(problem.space, read_rows(path))
    if len(found) < LEAST_LABELS:
        raise ValueError(
            f"--labels-from must have at least {LEAST_LABELS} networks of the space with "
            f"validation accuracies; {path} has {len(found)}"
        )
    genes = np.array([arch.genes for arch, _ in found.values()], dtype=np.int16)
    closed = replace(problem, score=CLOSED_FORM)
    score, comparison = score_of(
        problem,
        closed.evaluate_unchecked(genes),
        np.array([np.mean(values) for _, values in found.values()]),
        stopped=0,
        names=list(found),
        folder=folder,
    )
    return replace(problem, score=score), comparison


def labelled_architectures(
    space: ShuffleNetV2Space, rows: list[TrainingRow]
) -> dict[str, tuple[Architecture, list[float]]]:
    """text -> architecture and its validation accuracies in %, a seed each, of the networks that
    the space has and that were trained by the short recipe."""
    found: dict[str, tuple[Architecture, list[float]]] = {}
    for row in rows:
        if row.recipe != RECIPE or not np.isfinite(row.validation):
            continue
        try:
            arch = space.parse(row.architecture)
        except ValueError:  # the zoo's, or of an axis that is closed here
            continue
        found.setdefault(space.text(arch), (arch, []))[1].append(row.validation)
    return found
