"""The score from labels: a predictor, if it ranks them better than the closed form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.data.dataset import digest
from evaluator.predictor.model import Predictor
from evaluator.score.genes import free_scores
from search.problem.problem import CLOSED_FORM, Evaluation, Problem, Score
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.files import write_atomic
from space.common.stats import spearman
from space.common.text import format_number
from space.cost.lookup import Costs

Floats = NDArray[np.float64]
AFTER = "after short training"
FORMAT = 1  # of the identity: changes when the same labels would give other predictions


@dataclass(frozen=True, slots=True)
class PredictedScore:
    """The accuracy in % that a predictor fitted on labels expects. `after` names what the labels
    measure, as "after short training"."""

    identity: str
    correlation: float
    labels: int
    predictor: Predictor = field(compare=False, repr=False)
    after: str = AFTER

    @property
    def label(self) -> str:
        return f"predicted accuracy {self.after} in %"

    @property
    def line(self) -> str:
        return (
            f"score: {self.label}, from {self.labels} labels; "
            f"cross-validated rank correlation {self.correlation:.2f}. Not measured"
        )

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        return self.predictor.predict(genes, free_scores(space, genes, costs.flops, costs.params))


def study_file(score: Score) -> str:
    """The file of a study: one for each score, since other labels make another score."""
    return "study.db" if score == CLOSED_FORM else f"study-{score.identity.split()[-1]}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Two scores on the same labels: Spearman's rank correlation of each with the accuracies,
    None where it is not defined. `predictor` is cross-validated; None with a reason in `why` if
    none could be fitted. `flops`: that of the FLOPs. `stopped`: labels whose training was."""

    labels: int
    stopped: int
    predictor: float | None
    closed_form: float | None
    flops: float | None
    why: str = ""

    @property
    def better(self) -> bool:
        """Whether the predictor is used."""
        if self.predictor is None:
            return False
        return self.closed_form is None or self.predictor > self.closed_form

    def lines(self) -> list[str]:
        """For people."""
        # Of a correlation near 0; less near 1 (Fisher 1915).
        error = 1 / np.sqrt(max(self.labels - 1, 1))
        early = f", {self.stopped} of them stopped early" if self.stopped else ""
        lines = [f"{self.labels} labels{early}; rank correlation with their accuracy:"]
        if self.predictor is None:
            lines.append(f"  predictor: none ({self.why})")
        else:
            lines.append(f"  predictor, cross-validated: {self.predictor:.3f}")
        lines.append(
            f"  closed form, which needs no labels: {format_number(self.closed_form, '.3f')} "
            f"(either is uncertain by up to {error:.2f})"
        )
        lines.append(
            "using the predictor as the score: it ranks the labels better than the closed form"
            if self.better
            else "using the closed form as the score: the predictor ranks the labels no better"
        )
        if self.flops is not None and self.flops < 0:
            lines.append(
                f"warning: smaller networks reached more (rank correlation with FLOPs "
                f"{self.flops:.2f}): so short a training favours networks that learn fast, and "
                "may rank longer trainings wrongly. Use more --images or --epochs"
            )
        return lines

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
    after: str = AFTER,
) -> tuple[Score, ScoreComparison]:
    """The score that ranks the labels better, and how both rank them.

    The predictor is stored in `folder` and read from there the next time: fitted on another
    machine, its last digits might differ.

    Args:
        found: the labelled architectures with the closed form as their score.
        accuracy: in %, [n].
        names: what identifies each label.
        after: as in `PredictedScore`.
    """
    name = digest([FORMAT, list(names), [repr(float(value)) for value in accuracy]])
    ranks: dict[str, Any] = {
        "labels": len(accuracy),
        "stopped": stopped,
        "closed_form": spearman(found.score, accuracy),
        "flops": spearman(found.costs.flops, accuracy),
    }
    try:
        predictor = _predictor(problem, found, accuracy, folder / f"predictor-{name}.json")
    except ValueError as error:
        why = str(error).rstrip(".")
        return CLOSED_FORM, ScoreComparison(**ranks, predictor=None, why=why)
    correlation = predictor.cross_validated
    if correlation is None:
        why = "it predicts the same accuracy for every label that it was not fitted on"
        return CLOSED_FORM, ScoreComparison(**ranks, predictor=None, why=why)
    result = ScoreComparison(**ranks, predictor=correlation)
    if not result.better:
        return CLOSED_FORM, result
    score = PredictedScore(f"predictor {name}", correlation, len(accuracy), predictor, after)
    return score, result


def _predictor(problem: Problem, found: Evaluation, accuracy: Floats, path: Path) -> Predictor:
    if path.exists():
        try:
            return Predictor.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, json.JSONDecodeError):
            path.unlink()
    scores = free_scores(problem.space, found.genes, found.costs.flops, found.costs.params)
    predictor = Predictor.fit(problem.space, found.genes, accuracy, scores=scores)
    write_atomic(path, predictor.to_json())
    return predictor
