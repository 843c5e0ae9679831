"""What labels make of the score: a predictor, if it ranks better than the closed form does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluator.data.dataset import digest
from evaluator.score.genes import free_scores
from search.problem.problem import CLOSED_FORM, Evaluation, Problem, Score
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import Costs

if TYPE_CHECKING:
    from evaluator.predictor.model import Predictor

Floats = NDArray[np.float64]
AFTER = "after short training"
FORMAT = 1  # of the identity: changes when the same labels would give other predictions


@dataclass(frozen=True, slots=True)
class PredictedScore:
    """The accuracy in % that a predictor has from labels. `after` says what the labels are the
    accuracies of: networks "after short training", or whatever it was."""

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
    """A study's file: one for each score, as other labels make another one."""
    return "study.db" if score == CLOSED_FORM else f"study-{score.identity.split()[-1]}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """Both scores on the same labels, by Spearman's rank correlation with the accuracies.
    `predictor` is cross-validated; None if none could be fitted, and `why`. `flops`: of FLOPs."""

    labels: int
    stopped: int
    predictor: float | None
    closed_form: float
    flops: float
    why: str = ""

    @property
    def better(self) -> bool:
        """Whether the predictor is used."""
        return self.predictor is not None and self.predictor > self.closed_form

    def lines(self) -> list[str]:
        """For people."""
        # Of a correlation near 0; less near 1 (Fisher 1915).
        error = 1 / np.sqrt(max(self.labels - 1, 1))
        early = f", {self.stopped} of them stopped early" if self.stopped else ""
        told = [f"{self.labels} labels{early}; rank correlation with their accuracy:"]
        if self.predictor is None:
            told.append(f"  predictor: none ({self.why})")
        else:
            told.append(f"  predictor, cross-validated: {self.predictor:.3f}")
        told.append(
            f"  closed form, which needs no labels: {self.closed_form:.3f} (either is uncertain "
            f"by up to {error:.2f})"
        )
        if self.better:
            told.append("the predictor ranks better and is the score")
        else:
            told.append("the predictor is no better than the closed form, which stays the score")
        if self.flops < 0:
            told.append(
                f"warning: smaller networks reached more here (rank correlation with FLOPs "
                f"{self.flops:.2f}): such short training favours what learns fast, and may rank "
                "longer training wrongly. Give more --images or --epochs"
            )
        return told

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
    told: Sequence[str],
    folder: Path,
    after: str = AFTER,
) -> tuple[Score, ScoreComparison]:
    """The better score on labels, and how both were judged.

    `found`: the labelled architectures with the closed form as their score; `accuracy`: in %;
    `told`: what names the labels; `after`: as in `PredictedScore`. The predictor is kept in
    `folder` and read again from there: fitted anew on another machine, its last digits might
    differ.
    """
    name = digest([FORMAT, list(told), [repr(float(value)) for value in accuracy]])
    judged = {
        "labels": len(accuracy),
        "stopped": stopped,
        "closed_form": _spearman(found.score, accuracy),
        "flops": _spearman(found.costs.flops, accuracy),
    }
    try:
        predictor = _predictor(problem, found, accuracy, folder / f"predictor-{name}.json")
    except ValueError as error:
        why = str(error).rstrip(".")
        return CLOSED_FORM, ScoreComparison(**judged, predictor=None, why=why)  # type: ignore[arg-type]
    correlation = predictor.cross_validated
    assert correlation is not None
    result = ScoreComparison(**judged, predictor=correlation)  # type: ignore[arg-type]
    if not result.better:
        return CLOSED_FORM, result
    score = PredictedScore(f"predictor {name}", correlation, len(accuracy), predictor, after)
    return score, result


def _spearman(a: Floats, b: Floats) -> float:
    from scipy import stats

    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def _predictor(problem: Problem, found: Evaluation, accuracy: Floats, path: Path) -> Predictor:
    from evaluator.predictor.model import Predictor
    from space.common.files import write_atomic

    if path.exists():
        try:
            return Predictor.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, json.JSONDecodeError):
            path.unlink()
    scores = free_scores(problem.space, found.genes, found.costs.flops, found.costs.params)
    predictor = Predictor.fit(problem.space, found.genes, accuracy, scores=scores)
    write_atomic(path, predictor.to_json())
    return predictor
