"""The score from labels, trained or read: a predictor, if it ranks them better than the closed
form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.data.dataset import digest
from evaluator.estimate.stored import shipped
from evaluator.measured_benchmark.rows import SHIPPED, TrainingRow, read_rows
from evaluator.predictor.prior import prior_features, prior_of_space
from search.labels.config import LEAST_LABELS
from search.labels.fidelity import Fidelity, ShorterTraining, fidelity
from search.labels.predicted import PredictedScore, public_sources, stored_predictor
from search.problem.problem import CLOSED_FORM, Evaluation, Floats, Problem, Score
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.files import check_regular
from space.common.stats import spearman
from space.common.text import format_number

FORMAT = 2  # of the identity: changes when the same labels would give other predictions


def study_file(score: Score) -> str:
    """The file of a study, one for each score: other labels make another score."""
    return "study.db" if score == CLOSED_FORM else f"study-{score.identity.split()[-1]}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Two scores on the same labels: Spearman's rank correlation of each with the accuracies,
    None where it is not defined. `predictor` is cross-validated; None with a reason in `why` if
    none could be fitted. `flops`: that of the FLOPs. `stopped`: labels whose training was.
    `fidelity`: whether longer trainings would rank alike."""

    labels: int
    stopped: int
    predictor: float | None
    closed_form: float | None
    flops: float | None
    why: str = ""
    fidelity: Fidelity | None = None

    @property
    def better(self) -> bool:
        """Whether the predictor is used."""
        if self.predictor is None or self.closed_form is None:
            return self.predictor is not None
        return self.predictor > self.closed_form

    def lines(self) -> list[str]:
        """For people."""
        # Of a correlation near 0; less near 1 (Fisher 1915).
        error = 1 / np.sqrt(max(self.labels - 1, 1))
        early = f", {self.stopped} of them stopped early" if self.stopped else ""
        predictor = f": none ({self.why})"
        if self.predictor is not None:
            predictor = f", cross-validated: {self.predictor:.3f}"
        lines = [
            f"{self.labels} labels{early}; rank correlation with their accuracy:",
            f"  predictor{predictor}",
            f"  closed form, which needs no labels: {format_number(self.closed_form, '.3f')} "
            f"(either is uncertain by up to {error:.2f})",
            "using the predictor as the score: it ranks the labels better than the closed form"
            if self.better
            else "using the closed form as the score: the predictor ranks the labels no better",
        ]
        if self.flops is not None and self.flops < 0:
            lines.append(
                f"warning: smaller networks reached more (rank correlation with FLOPs "
                f"{self.flops:.2f}): so short a training favours networks that learn fast, and "
                "may rank longer trainings wrongly. Use more --images or --epochs"
            )
        return lines if self.fidelity is None else [*lines, *self.fidelity.lines()]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "labels": self.labels,
            "stopped_early": self.stopped,
            "rank_correlation": {
                "predictor_cross_validated": self.predictor,
                "closed_form": self.closed_form,
                "flops": self.flops,
            },
            "fidelity": None if self.fidelity is None else self.fidelity.record(),
            "score": "predictor" if self.better else "closed form",
        }


def score_of(
    problem: Problem,
    found: Evaluation,
    accuracy: Floats,
    *,
    stopped: int,
    names: Sequence[str],
    folder: Path,
    trainings: ShorterTraining | None = None,
) -> tuple[Score, ScoreComparison]:
    """The score that ranks the labels better, and how both rank them.

    The predictor is stored in `folder` and read from there the next time: fitted on another
    machine, its last digits might differ.

    Args:
        found: the labelled architectures with the closed form as their score.
        accuracy: in %, [n].
        stopped: labels whose training was stopped early.
        names: what identifies each label.
        trainings: shorter and longer trainings of labelled networks, if there are.

    Raises:
        ValueError: the predictor's file is a folder, a pipe or a device.
        OSError: it cannot be written.
    """
    effects = shipped().effects
    prior = prior_of_space(problem.space, effects)
    known = None if prior is None else asdict(effects)
    name = digest([FORMAT, known, list(names), [repr(float(value)) for value in accuracy]])
    path, correlation, why = folder / f"predictor-{name}.json", None, ""
    if path.exists():
        check_regular(path)
    try:
        predictor = stored_predictor(problem, found, accuracy, prior, path)
        correlation = predictor.cross_validated
        if correlation is None:
            why = "it predicts the same accuracy for every label that it was not fitted on"
    except ValueError as error:
        why = str(error).rstrip(".")
    comparison = ScoreComparison(
        labels=len(accuracy),
        stopped=stopped,
        predictor=correlation,
        closed_form=spearman(found.score, accuracy),
        flops=spearman(found.costs.flops, accuracy),
        why=why,
        fidelity=fidelity(
            accuracy,
            found.costs.flops,
            None if prior is None else prior.score(prior_features(problem.space, found.genes)),
            public_sources(),
            trainings,
        ),
    )
    if correlation is None or not comparison.better:
        return CLOSED_FORM, comparison
    score = PredictedScore(f"predictor {name}", correlation, len(accuracy), predictor)
    return score, comparison


def score_from_benchmark(
    problem: Problem, source: str, folder: Path
) -> tuple[Problem, ScoreComparison]:
    """The problem with the score that ranks the labels in a file better, and how both rank them.

    The labels are accuracies on a part of the training images, so the test images stay unseen.

    Args:
        source: rows of `evaluator.measured`, or "shipped" for those of this package.
        folder: where the predictor is stored.

    Raises:
        ValueError: no benchmark, or too few of its networks are of this space.
    """
    path = SHIPPED if source == "shipped" else Path(source)
    if not path.is_file():
        raise ValueError(f"--labels-from must be rows of evaluator.measured; there is no {path}")
    rows = read_rows(path)
    found = labelled_architectures(problem.space, rows)
    if len(found) < LEAST_LABELS:
        raise ValueError(
            f"--labels-from must have at least {LEAST_LABELS} networks of the space with "
            f"validation accuracies; {path} has {len(found)}"
        )
    genes = np.array([arch.genes for arch, _ in found.values()], dtype=np.int16)
    accuracy = np.array([np.mean(values) for _, values in found.values()])
    labels = replace(problem, score=CLOSED_FORM).evaluate_unchecked(genes)
    score, comparison = score_of(
        problem,
        labels,
        accuracy,
        stopped=0,
        names=list(found),
        folder=folder,
        trainings=_both_trainings(found, labelled_architectures(problem.space, rows, "long")),
    )
    return replace(problem, score=score), comparison


def labelled_architectures(
    space: ShuffleNetV2Space, rows: list[TrainingRow], recipe: str = "short"
) -> dict[str, tuple[Architecture, list[float]]]:
    """text -> architecture and its validation accuracies in %, a seed each, of the networks that
    the space has and that were trained by this recipe."""
    found: dict[str, tuple[Architecture, list[float]]] = {}
    for row in rows:
        if row.recipe != recipe or not np.isfinite(row.validation):
            continue
        try:
            arch = space.parse(row.architecture)
        except ValueError:  # the zoo's, or of an axis that is closed here
            continue
        found.setdefault(space.text(arch), (arch, []))[1].append(row.validation)
    return found


Labelled = Mapping[str, tuple[Architecture, list[float]]]


def _both_trainings(short: Labelled, long: Labelled) -> ShorterTraining | None:
    """The networks that were trained by both recipes; None if none was."""
    both = [text for text in short if text in long]
    if not both:
        return None
    shorter, longer = (np.array([np.mean(of[text][1]) for text in both]) for of in (short, long))
    which = f"of {len(both)} networks after the short training against the long one"
    return ShorterTraining(shorter, longer, which)
